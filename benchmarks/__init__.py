"""Speed beside the usual way, in one run: `python -m benchmarks masks` writes docs/performance.md."""

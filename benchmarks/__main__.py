"""`python -m benchmarks SUITE [options]`; one thread, whatever the library.

masks    decoding, encoding, thresholds, votes beside the usual way → docs/performance.md
tuning   thresholds, weights and heads of 5 models → docs/performance-tuning.md
shakeup  whether Private lies in its predicted interval, over demos of many seeds
"""

import argparse
import os
from importlib import import_module
from pathlib import Path

from competition.machine import settle_memory

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main() -> None:
    """Parse, set one thread before any library starts its own, run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    suites = parser.add_subparsers(dest="suite", required=True)
    masks = suites.add_parser("masks")
    masks.add_argument(
        "--only", help="part of SET: ITEM, of growth or of submission: ROWS; the rest as kept"
    )
    masks.add_argument("--repeats", type=int, default=7, help="runs per measurement (median)")
    tuning = suites.add_parser("tuning")
    tuning.add_argument("--images", type=int, default=340, help="images to decide from")
    shakeup = suites.add_parser("shakeup")
    shakeup.add_argument("--seeds", type=int, default=10, help="demos, seeds 0, 1, 2, …")
    shakeup.add_argument("--work", type=Path, default=Path("runs/shakeup"), help="where they lie")
    arguments = vars(parser.parse_args())
    if arguments["suite"] == "tuning":
        settle_memory()  # as `tune` does
    for name in THREADS:
        os.environ[name] = "1"
    import_module(f"benchmarks.{arguments.pop('suite')}").run(**arguments)


if __name__ == "__main__":
    main()

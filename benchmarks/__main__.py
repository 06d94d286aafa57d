"""`python -m benchmarks masks [--only NAME] [--repeats N]`; one thread, whatever the library."""

import argparse
import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def main() -> None:
    """Parse, set one thread before any library starts its own, run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("suite", choices=["masks"])
    parser.add_argument("--only", help="items whose name contains this; nothing is written")
    parser.add_argument("--repeats", type=int, default=7, help="runs per measurement (median)")
    arguments = parser.parse_args()
    for name in THREADS:
        os.environ[name] = "1"
    from benchmarks import masks

    masks.run(only=arguments.only, repeats=arguments.repeats)


if __name__ == "__main__":
    main()

"""`python -m benchmarks SUITE [options]`; one thread, whatever the library, but for plain_smp.

masks    decoding, encoding, thresholds, votes beside the usual way → docs/performance.md
tuning   thresholds, weights and heads of 5 models → docs/performance-tuning.md
shakeup  whether Private lies in its predicted interval, over demos of many seeds
plain_smp  a plain training script on fold 0, to set beside a plan of the same processor time
made_up    the download of a made-up competition, to plan and to train on
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
    plain = suites.add_parser("plain_smp")
    plain.add_argument("--file", type=Path, default=Path("competition.toml"), help="competition")
    plain.add_argument("--cpu-minutes", type=float, default=4.0, help="of training")
    plain.add_argument("--seed", type=int, default=0)
    plain.add_argument("--side", type=int, default=192, help="of the square input")
    plain.add_argument(
        "--over", choices=("image", "batch"), default="image", help="Dice's fraction"
    )
    plain.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    plain.add_argument("--batch", type=int, default=8)
    plain.add_argument("--scratch", action="store_true", help="without published weights")
    plain.add_argument("--out", type=Path, default=Path("plain_smp.json"), help="scores by image")
    made_up = suites.add_parser("made_up")
    made_up.add_argument("kind", choices=("regions", "roads", "rare"))
    made_up.add_argument("--out", type=Path, required=True, help="folder that isn't there yet")
    made_up.add_argument("--seed", type=int, default=0)
    arguments = vars(parser.parse_args())
    if arguments["suite"] == "tuning":
        settle_memory()  # as `tune` does
    for name in THREADS if arguments["suite"] != "plain_smp" else ():
        os.environ[name] = "1"
    import_module(f"benchmarks.{arguments.pop('suite')}").run(**arguments)


if __name__ == "__main__":
    main()

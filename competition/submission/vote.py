"""The hard vote of finished submissions, of whatever origin: rows meet by image and class.

Where a row stands in its file means nothing; a file that does not answer the sample is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.errors import InputFault
from competition.masks import Runs, weighted_vote
from competition.spec import Competition
from competition.submission.check import ImageSizes, check_submission, read_submission
from competition.submission.write import Summary, write_submission
from competition.workspace import file_sha256


@dataclass(frozen=True)
class Ballots:
    """The files that vote, the weight of each, and the share of all weights that a pixel must exceed."""

    files: tuple[Path, ...]
    weights: tuple[float, ...]
    threshold: float = 0.5

    @classmethod
    def of(
        cls, files: Sequence[Path], weights: Sequence[float] = (), threshold: float = 0.5
    ) -> "Ballots":
        """Equal weights unless given.

        InputFault for fewer than two files or another number of weights.
        """
        if len(files) < 2:
            raise InputFault(f"a vote of {len(files)} file; two or more can vote")
        if len({path.resolve() for path in files}) < len(files):
            raise InputFault(f"a file votes twice among {list(map(str, files))}; use its weight")
        if weights and len(weights) != len(files):
            raise InputFault(
                f"{len(weights)} weights for {len(files)} files; one for each, in order"
            )
        return cls(tuple(files), tuple(weights) or (1.0,) * len(files), threshold)


def write_vote(
    competition: Competition, ballots: Ballots, sample: Path, sizes: ImageSizes, target: Path
) -> Summary:
    """Write the vote as a checked submission with a receipt that names its voters.

    Each file is checked against the sample first: InputFault lists the faults of all of them. Where
    a row holds an object, the objects of a class are united, and the components of the result
    are its objects.
    """
    if target.resolve() in {path.resolve() for path in ballots.files}:
        raise InputFault(f"{target} votes itself; give the result another name")
    _require_whole(competition, ballots.files, sample, sizes)
    read = [read_submission(competition, path, sizes) for path in ballots.files]
    receipt = {
        "entry": "vote",
        "members": [path.stem for path in ballots.files],
        "vote": {
            "threshold": ballots.threshold,
            "files": [
                {"file": path.name, "weight": weight, "sha256": file_sha256(path)}
                for path, weight in zip(ballots.files, ballots.weights, strict=True)
            ],
        },
    }

    def masks(image: str) -> Runs:
        votes = [one[image] for one in read]
        return weighted_vote(votes, weights=ballots.weights, threshold=ballots.threshold)

    return write_submission(competition, sample, masks, target, receipt)


def _require_whole(
    competition: Competition, files: Sequence[Path], sample: Path, sizes: ImageSizes
) -> None:
    faults = []
    for path in files:
        try:
            check_submission(competition, path, sample, sizes)
        except InputFault as fault:
            faults.append(str(fault))
    if faults:
        raise InputFault("\n".join(faults))

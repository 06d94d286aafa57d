"""Did a round help? Student against teacher on the same out-of-fold images."""

import numpy as np

from competition.evaluation.metric_sums import MetricSums, Score
from competition.evaluation.significance import step_gain
from competition.settings import Settings


class Verdict(Settings):
    """adopted: the student is better by both tests of a step of tuning (`step_gain`), at threshold 0.5.

    p_value: of the permutation; classes: name → what the round gave (or took), None where the metric
    counts no image of it, more being better; labelled, pseudo: by
    class, the share of images with a mask among the labels and in the round; leak: teachers may have
    told the students of what they are scored on, so that the gain may be flattered.
    """

    round: str
    adopted: bool
    teacher: Score
    student: Score
    gain: float
    low: float
    high: float
    p_value: float
    images: int
    groups: int
    classes: dict[str, float | None]
    labelled: dict[str, float]
    pseudo: dict[str, float]
    leak: bool

    def text(self) -> str:
        """Both scores, the gain and the decision; then the classes, those that lost most first."""
        word = "adopted" if self.adopted else "not adopted"
        lines = [
            f"out of fold, {self.images} images of {self.groups} groups, threshold 0.5",
            f"  {self.teacher}  teacher, without the round",
            f"  {self.student}  student, with {self.round}",
            f"{self.round}: {word}, gain {self.gain:+z.4f} ({self.low:+z.4f} to {self.high:+z.4f}), "
            f"p {self.p_value:.3f} of the permutation test",
        ]
        if self.leak:
            lines.append(
                "indirect leak: teachers saw what students are scored on; may be flattered"
            )
        width = max(map(len, (*self.classes, "class")))
        lines.append(f"  {'class':{width}}     gain  labelled  round")
        gains = {name: gain for name, gain in self.classes.items() if gain is not None}
        for name in sorted(gains, key=lambda name: gains[name]):
            shares = f"{self.labelled[name]:8.1%}  {self.pseudo[name]:5.1%}"
            lines.append(f"  {name:{width}}  {gains[name]:+z.4f}  {shares}")
        return "\n".join(lines)


def judged(
    name: str,
    before: np.ndarray,
    after: np.ndarray,
    groups: np.ndarray,
    metric_sums: MetricSums,
    *,
    classes: tuple[str, ...],
    shares: tuple[dict[str, float], dict[str, float]],
    leak: bool,
) -> Verdict:
    """before, after: what each image adds to the score of teacher and student, (N, K, C); groups: (N,);
    shares: by class, of the images with a mask, of the labels and of the round.
    """
    gain = step_gain(before, after, groups, metric_sums)
    scores = [metric_sums.score(sums, groups) for sums in (before, after)]
    totals = [metric_sums.per_class(sums.sum(axis=0)) for sums in (before, after)]
    gains = totals[1] - totals[0]
    return Verdict(
        round=name,
        adopted=gain.significant,
        teacher=scores[0],
        student=scores[1],
        gain=gain.gain,
        low=gain.low,
        high=gain.high,
        p_value=gain.p_value,
        images=len(before),
        groups=len(np.unique(groups)),
        classes={
            name: None if np.isnan(one) else float(one)
            for name, one in zip(classes, gains, strict=True)
        },
        labelled=shares[0],
        pseudo=shares[1],
        leak=leak,
    )

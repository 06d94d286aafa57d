"""The whole chain: mixture, thresholds and empty rules, shapes; and all of it again for each part.

The reported score of a part is that of a chain made without it, acceptance of every step included.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from competition.tuning.acceptance import Verdict, judge
from competition.tuning.chain import Fits, Fitted, Judged, Sides, adopted_steps, choose
from competition.tuning.evidence import Evidence, Plans, View, views_without
from competition.tuning.mixing import PLAIN, Mixer
from competition.tuning.mixing import choose as choose_plan
from competition.tuning.shaping import ShapeFits, ShapeStatistics, gather_shapes
from competition.tuning.statistics import Statistics
from competition.tuning.thresholds import Rules, outcome, plain


@dataclass(frozen=True, eq=False)
class Choice:
    """plain, whole: views without anything and through the chosen mixture; rules: fitted on all;
    nested: those of the chain made without each part.

    final: what images add as they would be handed in, by decisions that saw them; honest: by the
    chain made without their part; both (N, K, C).
    """

    plain: View
    whole: View
    rules: Rules
    nested: Mapping[int, Rules]
    judged: list[Judged]
    final: np.ndarray
    honest: np.ndarray


def choose_plans(mixer: Mixer, sides: Sides) -> tuple[Plans, list[Judged]]:
    """Heads and weights on the drawn pixels, of all images and without each part."""
    whole, judged = choose_plan(mixer, sides)
    nested = {
        part: choose_plan(mixer, sides, frozenset({part}))[0]
        for part in np.unique(sides.parts).tolist()
    }
    return Plans(whole, nested), judged


def confirm(evidence: Evidence, plans: Plans, sides: Sides) -> tuple[Plans, list[Judged]]:
    """The plans that gain at native size in the competition's metric; the others become plain."""
    plain_view = evidence.plain.statistics
    nested, judged = {}, []
    for part, plan in plans.nested.items():
        view = evidence.view(plan, frozenset({part})).statistics
        verdict = _at_native_size(plain_view, view, sides, sides.parts != part)
        nested[part] = plan if verdict.adopted else PLAIN
    whole = plans.whole
    if whole != PLAIN:
        everywhere = np.ones(len(sides.parts), bool)
        view = evidence.view(whole).statistics
        verdict = _at_native_size(plain_view, view, sides, everywhere)
        seen = _at_half(evidence.final(whole).statistics), _at_half(plain_view)
        gain = plain_view.measure.score(seen[0]) - plain_view.measure.score(seen[1])
        name = "heads and weights at native size"
        judged = [Judged(name, plain_view.measure.sign * gain, verdict, "mixture")]
        whole = whole if verdict.adopted else PLAIN
    return Plans(whole, nested), judged


def _at_half(statistics: Statistics) -> np.ndarray:
    return outcome(statistics, plain(statistics))


def _at_native_size(
    before: Statistics, after: Statistics, sides: Sides, chosen: np.ndarray
) -> Verdict:
    parts = len(np.unique(sides.parts[chosen]))
    both = (_at_half(statistics)[chosen] for statistics in (before, after))
    return judge(*both, sides.groups[chosen], before.measure, parts=parts)


@dataclass(frozen=True, eq=False)
class _Ruled:
    """Thresholds and empty rules, fitted on the images of `sides`; views by part held back."""

    chosen: np.ndarray
    sides: Sides
    whole: View
    without: Mapping[int, View]
    judged: list[Judged]
    fitted: Fitted

    def wanted(self) -> list[tuple[View, Rules]]:
        """The rules that shapes are fitted under, with the views that they are applied to."""
        crossed = [(self.without[part], rules) for part, rules in self.fitted.crossed.items()]
        return [(self.whole, self.fitted.rules), *crossed]

    def shapes(self, found: ShapeStatistics) -> tuple[list[Judged], Rules]:
        """Verdicts on the shape steps, and the rules with the shapes of the adopted ones."""
        whole = found.scene(self.whole, self.fitted.rules).where(self.chosen)
        scenes = {
            part: found.scene(self.without[part], rules).where(self.chosen)
            for part, rules in self.fitted.crossed.items()
        }
        judged = choose(ShapeFits(whole, scenes, self.sides.parts), self.sides.groups)
        return judged, whole.fit(adopted_steps(judged))


def choose_all(
    evidence: Evidence,
    plans: Plans,
    sides: Sides,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Choice:
    """Rules and shapes on top of confirmed plans; one more pass over the images."""
    parts = list(plans.nested)
    everywhere = np.ones(len(sides.parts), bool)
    without = views_without(evidence, plans.whole, parts)
    ruled = _ruled(everywhere, sides, evidence.view(plans.whole), without)
    nested = {}
    for part, plan in plans.nested.items():
        view = evidence.view(plan, frozenset({part}))
        nested[part] = _ruled(sides.parts != part, sides, view, dict.fromkeys(parts, view))
    final = evidence.final(plans.whole)
    wanted = [pair for one in (ruled, *nested.values()) for pair in one.wanted()]
    found = gather_shapes(evidence, [(final, ruled.fitted.rules), *wanted], advance=advance)
    judged, rules = ruled.shapes(found)
    by_part = {part: one.shapes(found)[1] for part, one in nested.items()}
    honest = np.zeros_like(final.statistics.empty)
    for part, held_back in by_part.items():
        scene = found.scene(nested[part].whole, held_back)
        honest[sides.parts == part] = scene.outcome(held_back)[sides.parts == part]
    return Choice(
        evidence.plain,
        ruled.whole,
        rules,
        by_part,
        [*ruled.judged, *judged],
        final=found.scene(final, rules).outcome(rules),
        honest=honest,
    )


def _ruled(chosen: np.ndarray, sides: Sides, whole: View, without: Mapping[int, View]) -> _Ruled:
    """Thresholds and empty rules, chosen on some images, bool (N,)."""
    inner = sides.where(chosen)
    statistics = whole.statistics.where(chosen)
    seen = {part: view.statistics.where(chosen) for part, view in without.items()}
    fits = Fits(statistics, inner.parts, without=seen)
    judged = choose(fits, inner.groups)
    return _Ruled(chosen, inner, whole, without, judged, fits.fitted(adopted_steps(judged)))

"""Statistics of every mixture that the chain looks at, gathered in one pass at native size.

An image is only ever seen through a mixture that has not seen it, and, while a part is held back,
through one that has not seen that part either. Such a *view* of all images takes one fit for each
pair of parts. Where no head and no weights are adopted, all views are the same plain one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from competition.masks import Runs
from competition.tuning.ensemble import Blend, Reader
from competition.tuning.measure import Measure
from competition.tuning.mixing import PLAIN, Mixer, Parts, Plan
from competition.tuning.mixture import Mixture
from competition.tuning.passes import over_images
from competition.tuning.statistics import Row, Statistics, assembled, require_labels, row_of

Key = tuple[Plan, Parts]
"""A fitted mixture: its plan, and the parts that it has not seen."""

PLAIN_KEY: Key = (PLAIN, frozenset())


@dataclass(frozen=True, eq=False)
class View:
    """Statistics of all images, each through the mixture `keys` names."""

    keys: tuple[Key, ...]
    statistics: Statistics


@dataclass(frozen=True)
class Plans:
    """The plan chosen on all images, and, for each part, the one chosen without it."""

    whole: Plan
    nested: Mapping[int, Plan]


@dataclass(frozen=True, eq=False)
class Source:
    """What is decoded and measured: members, labels, the metric, and whether classes exclude."""

    readers: Mapping[str, Reader]
    truth: Mapping[str, Runs]
    measure: Measure
    exclusive: bool


@dataclass(frozen=True, eq=False)
class Evidence:
    """Rows of images under mixtures, gathered once; views put them together.

    plain: equal weights, no heads; rows: by key and place of the image.
    """

    source: Source
    mixer: Mixer
    rows: Mapping[tuple[Key, int], Row]
    _blends: dict[Key, Blend] = field(default_factory=dict)

    @property
    def plain(self) -> View:
        return self._view((PLAIN_KEY,) * len(self.mixer.parts))

    def view(self, plan: Plan, without: Parts = frozenset()) -> View:
        """All images, each through the plan fitted without `without` and its own part."""
        return self._view(keys_of(plan, self.mixer.parts, without))

    def final(self, plan: Plan) -> View:
        """All images through the plan fitted on all of them: what is handed in."""
        return self._view((_key(plan, frozenset()),) * len(self.mixer.parts))

    def blend(self, key: Key) -> Blend:
        if key not in self._blends:
            self._blends[key] = blend_of(self.mixer, key, self.source)
        return self._blends[key]

    def _view(self, keys: tuple[Key, ...]) -> View:
        rows = [self.rows[key, place] for place, key in enumerate(keys)]
        return View(keys, assembled(self.source.measure, self.mixer.samples.images, rows))


def keys_of(plan: Plan, parts: np.ndarray, without: Parts) -> tuple[Key, ...]:
    return tuple(_key(plan, without | {int(part)}) for part in parts)


def _key(plan: Plan, without: Parts) -> Key:
    return PLAIN_KEY if plan == PLAIN else (plan, without)


def blend_of(mixer: Mixer, key: Key, source: Source) -> Blend:
    return mixture_of(mixer, key).blended(source.readers, exclusive=source.exclusive)


def mixture_of(mixer: Mixer, key: Key) -> Mixture:
    """The mixture that a key names, as it is written down."""
    mixed = mixer.fit(*key)
    return Mixture.of(mixer.samples.members, mixed.shares, mixed.heads, mean=key[0].mean)


def wanted_keys(plans: Plans, parts: np.ndarray) -> list[set[Key]]:
    """For each image the keys that some view shows it through."""
    lists = [
        (PLAIN_KEY,) * len(parts),
        (_key(plans.whole, frozenset()),) * len(parts),
        keys_of(plans.whole, parts, frozenset()),
        *(keys_of(plans.whole, parts, frozenset({part})) for part in plans.nested),
        *(keys_of(plan, parts, frozenset({part})) for part, plan in plans.nested.items()),
    ]
    return [set(keys) for keys in zip(*lists, strict=True)]


Rows = Mapping[tuple[Key, int], Row]


def gather_evidence(
    source: Source,
    mixer: Mixer,
    plans: Plans,
    *,
    known: Rows = MappingProxyType({}),
    advance: Callable[[], None] = lambda: None,
) -> Evidence:
    """One pass over the images at native size; what is `known` is not measured again."""
    images = mixer.samples.images
    require_labels(images, source.truth)
    wanted = wanted_keys(plans, mixer.parts)
    blends = {key: blend_of(mixer, key, source) for key in set().union(*wanted)}

    def work(place: int, image: str) -> dict[tuple[Key, int], Row]:
        return {
            (key, place): row_of(blends[key], image, source.truth[image], source.measure)
            for key in wanted[place]
            if (key, place) not in known
        }

    rows = over_images(work, images, advance=advance)
    gathered = {key: row for one in rows for key, row in one.items()}
    return Evidence(source, mixer, {**known, **gathered}, blends)


def plain_row(source: Source) -> Callable[[str], Row]:
    """Measures an image, members mixed in equal parts: for a pass that reads it anyway."""
    together = Mixture.equal(source.readers).blended(source.readers, exclusive=source.exclusive)
    return lambda image: row_of(together, image, source.truth[image], source.measure)


def views_without(evidence: Evidence, plan: Plan, parts: Sequence[int]) -> dict[int, View]:
    """For each part the view that has not seen it."""
    if plan == PLAIN:
        return dict.fromkeys(parts, evidence.plain)
    return {part: evidence.view(plan, frozenset({part})) for part in parts}

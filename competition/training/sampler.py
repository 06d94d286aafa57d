"""Which example comes when: a function of the seed and the example's place in the run alone.

A resumed run therefore sees what the straight run would have seen, and loader processes change
nothing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from competition.data.loader import Draw, DrawSampler, Labelled
from competition.errors import InputFault
from competition.recipes import Recipe
from competition.training.plan import Plan


class Pool:
    """Images in an endless order: each once a pass, every pass shuffled by (seed, pass) alone."""

    def __init__(self, images: Sequence[int], seed: tuple[int, ...]) -> None:
        self.images, self.seed = np.asarray(images, dtype=np.int64), seed
        self._pass, self._order = -1, self.images

    def __getitem__(self, place: int) -> tuple[int, int]:
        """(pass, image) at a place of the endless order."""
        number, rest = divmod(place, len(self.images))
        if number != self._pass:
            random = np.random.default_rng((*self.seed, number))
            self._pass, self._order = number, self.images[random.permutation(len(self.images))]
        return number, int(self._order[rest])


@dataclass(frozen=True)
class Ratio:
    """The share of positives over a run of `total` examples: from `first` to `last`, linear.

    >>> ratio = Ratio(0.8, 0.4, total=1000)
    >>> ratio.before(100), ratio.before(1000) - ratio.before(900)
    (78, 42)
    """

    first: float
    last: float
    total: int

    def before(self, place: int) -> int:
        """How many of the first `place` examples are positive."""
        rise = (self.last - self.first) / self.total
        return math.floor(self.first * place + rise * place * place / 2 + 1e-9)


class RunSampler(DrawSampler):
    """The examples of a run, round by round. Lightning calls `set_epoch` before each round.

    images: how many there are; examples: drawn in a round.
    """

    def __init__(self, images: int, *, examples: int, seed: int) -> None:
        self.examples, self.round = examples, 0
        self.everything = Pool(range(images), (seed,))

    def set_epoch(self, epoch: int) -> None:
        self.round = epoch

    def __len__(self) -> int:
        return self.examples

    def __iter__(self) -> Iterator[Draw]:
        begin = self.round * self.examples
        return (self.draw(place) for place in range(begin, begin + self.examples))

    def draw(self, place: int) -> Draw:
        """The example at a place of the run, counted from 0 over all rounds."""
        return Draw(*self.everything[place], None, place)


class RatioSampler(RunSampler):
    """A run in which the share of some images is given.

    first: those images; second: the others; shows_mask: of each, whether its crops must show a mask,
    must not, or are as they come. The two alternate evenly, so that every batch has about its share.
    """

    def __init__(
        self,
        first: Sequence[int],
        second: Sequence[int],
        ratio: Ratio,
        *,
        examples: int,
        seed: int,
        shows_mask: tuple[bool | None, bool | None] = (None, None),
    ) -> None:
        super().__init__(0, examples=examples, seed=seed)
        self.ratio, self.shows_mask = ratio, shows_mask
        self.first, self.second = Pool(first, (seed, 1)), Pool(second, (seed, 2))

    def draw(self, place: int) -> Draw:
        before = self.ratio.before(place)
        if self.ratio.before(place + 1) > before:
            return Draw(*self.first[before], self.shows_mask[0], place)
        return Draw(*self.second[place - before], self.shows_mask[1], place)


class BatchShare(NamedTuple):
    """Of each batch, which share these images are: pseudo-labelled ones, beside the labelled."""

    images: frozenset[str]
    share: float


def run_sampler(
    labelled: Labelled, recipe: Recipe, plan: Plan, *, seed: int, pseudo: BatchShare | None = None
) -> RunSampler:
    """The sampler that a recipe, and a pseudo round, ask for, over the training images of one run."""
    shares = recipe.sampling.positives
    total = min(plan.rounds * plan.examples, plan.iterations * recipe.accumulate * recipe.batch)
    if pseudo is not None:
        if shares is not None:
            raise InputFault(
                f"sampling.positives = {list(shares)} of recipe {recipe.name!r} and the batch share of "
                f"its pseudo round, {pseudo.share:g}, both choose the images of a batch; leave one out "
                "(`podium pseudo --batch-share 0` makes the round without)"
            )
        ratio = Ratio(pseudo.share, pseudo.share, total)
        sides = [[], []]
        for index, image in enumerate(labelled.images):
            sides[image not in pseudo.images].append(index)
        return RatioSampler(*sides, ratio, examples=plan.examples, seed=seed)
    if shares is None:
        return RunSampler(len(labelled), examples=plan.examples, seed=seed)
    masked = _have_masks(labelled)
    positive = [index for index, has in enumerate(masked) if has]
    empty = [index for index, has in enumerate(masked) if not has]
    negative = empty if recipe.crop is None else range(len(masked))
    if not positive or not negative:
        raise InputFault(
            f"sampling.positives = {list(shares)} needs images with a mask and images without; "
            f"{len(positive)} of the {len(masked)} training images have one: leave it out, or set "
            "sampling.crop or tiles to choose parts of them"
        )
    return RatioSampler(
        positive,
        negative,
        Ratio(*shares, total),
        examples=plan.examples,
        seed=seed,
        shows_mask=(True, False),
    )


def _have_masks(labelled: Labelled) -> list[bool]:
    """Of each image, whether any class has a pixel."""
    return [bool(labelled.runs[image].area().any()) for image in labelled.images]


def share_without_mask(sampler: RunSampler, labelled: Labelled, batch: int) -> float:
    """Share of the first round's batches in which no example can show a mask; 0 without a batch.

    A crop may miss the mask of its image, so that of crops there are at least so many.
    """
    masked = _have_masks(labelled)
    draws = (sampler.draw(place) for place in range(sampler.examples // batch * batch))
    shown = [draw.positive is not False and masked[draw.index] for draw in draws]
    batches = np.reshape(np.array(shown, bool), (-1, batch))
    return float(1 - batches.any(axis=1).mean()) if len(batches) else 0.0


def without_mask_note(share: float, recipe: Recipe) -> str:
    """One line that says how many batches are empty, and what mends it."""
    least = "at least " if recipe.crop is not None else ""
    least = "about " if recipe.augmentation.mixes else least  # more where it is of others' images
    return (
        f"note: in {least}{share:.1%} of the batches no image has a mask, and an overlap loss learns "
        "from them that there is nothing: set sampling.positives or a larger batch, or empty in the "
        "loss"
    )

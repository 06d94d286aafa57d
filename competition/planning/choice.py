"""Facts of the data, costs of steps and the time given → a recipe, each value with its reason.

What decides is one estimate: the error (1 − Dice) that a network has left after so many images, plus
what its input size costs. Its constants are measured ones, see `_ERRORS` and `EDGES`; that they are
rough does no harm where the sizes that compete differ in steps by a factor of two.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from competition.data.letterbox import GridSize
from competition.planning.data_facts import RARE, DataFacts
from competition.planning.step_costs import StepCost
from competition.recipes import Recipe, derive, recipe_named

PlannedUntil = Literal["train", "submit"]


class TimeGiven(NamedTuple):
    """Seconds of wall time for everything `until` the end of training, or a written submission.

    spent: seconds that are gone already, of planning itself and of what came before.
    """

    seconds: float
    until: PlannedUntil
    spent: float = 0.0

    @property
    def words(self) -> str:
        amount = self.seconds / 3600 if self.seconds >= 7200 else self.seconds / 60
        unit = "hours" if self.seconds >= 7200 else "minutes"
        return f"{amount:g} {unit} until {'trained' if self.until == 'train' else 'submitted'}"


class Reasoned(NamedTuple):
    """A value of a recipe, its key dotted, and why it is that."""

    key: str
    value: Any
    reason: str


class MachineFacts(NamedTuple):
    """What a plan takes from the machine besides the costs of steps.

    kind: "cpu", "cuda", "mps"; memory: bytes that a step may take, 0 where that is not known; start:
    seconds until a process that trains or predicts has begun.
    """

    kind: str
    memory: int
    start: float


@dataclass(frozen=True)
class Choice:
    """The recipe, line by line; the folds that are trained and why; seconds by part of the work."""

    recipe: tuple[Reasoned, ...]
    folds: tuple[int, ...]
    why_folds: str
    seconds: Mapping[str, float]
    cpu_seconds: float
    """Of processor time, all threads, of the training steps of all folds."""


CostOf = Callable[[Recipe], StepCost]


class Strength(NamedTuple):
    """left: 1 − Dice after `SEEN` images of a set where that is hard (teeth); why: the reason to take
    this network.
    """

    left: float
    why: str


NETWORKS = {
    "light-unet-lite0": Strength(0.14, "ImageNet weights from a package, and the cheapest steps"),
    "unet-lite0": Strength(0.135, "ImageNet weights from a package; the card has time for it"),
    "upernet": Strength(0.16, "a stronger encoder, which the time allows"),
    "unet-resnet18": Strength(0.30, "the cheapest steps; no weights are at hand for another"),
}
"""Recipes that a plan may take. Measured on teeth with unet-lite0; upernet's number stands for what its
encoder has on ImageNet. On a CPU the light decoder takes the place of the whole one: in 4 minutes of
processor time it had .883 of nuclei where the whole one had .877 (both at 128²)."""

SEEN, EARLY, LATE = 3_300, 0.7, 0.14
"""Up to so many images an error falls by their power .7, later by their power .14 (teeth at 192²: .65
after 680, .43 after 1,112, .22 after 3,880; .176 after 10,680 at 224²)."""
EDGES = 3.0
"""A network's edges are off by so many times what sampling at its size costs at best. In 4 minutes of
processor time the whole decoder on nuclei had .877 at 128² in 520 steps and .866 at 160² in 315."""
ENOUGH = 8_000
"""Images that the network of each fold sees before another fold is trained."""
FEWEST_STEPS = 20
"""Less moves nothing, whatever the time."""
VALIDATING = 0.04
"""Share of the training time that validation may take."""
MOST_VALIDATIONS = 20
UNLIKE_ASPECTS = 1.5
"""From which images of other aspects are padded, not stretched."""
LATE_AT_MOST = 0.05
"""Share of the time by which a plan may be over, for its fewest steps."""
TUNING = 50.0
"""Decisions are searched in about so many times what decoding the predictions once takes."""
LIGHT_STARTS, LIGHT = 4, 3.0
"""Further processes until a submission, and seconds until one has begun."""
CROP_ON_CPUS, CROP_ON_CARDS = 256, 512
"""Side of a crop at native scale."""


class PlanRequest(NamedTuple):
    """What is asked of a plan: in how much time, on which folds.

    folds: that may be trained, of so many `parts` of the split; all_folds: that must be; views:
    test-time ones besides the image itself; seeds: networks of each fold.
    """

    time: TimeGiven
    folds: tuple[int, ...]
    parts: int
    all_folds: bool = False
    views: int = 1
    seeds: int = 1


def choose(
    facts: DataFacts,
    machine: MachineFacts,
    cost_of: CostOf,
    ask: PlanRequest,
    networks: Mapping[str, bool],
) -> Choice:
    """networks: of `NETWORKS`, those that may be taken, and whether published weights are at hand."""
    drafts = [
        _Draft(name, size, crop)
        for name in networks
        for size in facts.sizes
        for crop in _crops(size, machine)
    ]
    costs = _Costs(facts, machine, cost_of)
    bids = {draft: _bid(draft, facts, machine, costs.about(draft), ask) for draft in drafts}
    best = min(bids, key=lambda draft: (bids[draft].late, bids[draft].error))
    batch = costs.batch_of(best, bids[best].steps)
    bid = _bid(best, facts, machine, costs.exactly(best, batch), ask, batch=batch)
    return _written(best, bid, facts, machine, ask, networks[best.network])


@dataclass(frozen=True)
class _Draft:
    """A network with its input: the whole image at `size`, or crops of it there."""

    network: str
    size: GridSize
    crop: GridSize | None = None

    @property
    def trained(self) -> GridSize:
        """What a training step sees."""
        return self.crop or self.size

    def recipe(self, facts: DataFacts, batch: int) -> Recipe:
        """As far as it decides what a step costs."""
        changes = {
            "size": self.size,
            "sampling": {"crop": self.crop},
            "batch": batch,
            "loss": [dict(term) for term in _loss(facts)[0]],
        }
        return derive(recipe_named(self.network, {}), changes)


class _Bid(NamedTuple):
    """What a draft comes to in the time: seconds that even its fewest steps are late, its expected
    error, and what is spent on what.
    """

    late: float
    error: float
    batch: int
    steps: int
    folds: tuple[int, ...]
    networks: int
    cost: StepCost
    seconds: dict[str, float]


class _Costs:
    """Costs of drafts from as few measured steps as will do."""

    def __init__(self, facts: DataFacts, machine: MachineFacts, cost_of: CostOf) -> None:
        self.facts, self.machine, self.cost_of = facts, machine, cost_of

    def about(self, draft: _Draft) -> StepCost:
        """From steps at two sizes: what a step costs grows evenly with its pixels."""
        small, large = (self.exactly(_Draft(draft.network, size), BATCH) for size in self._probed())
        first, last = (_pixels(size) for size in self._probed())

        def at(size: GridSize, low: float, high: float) -> float:
            share = (_pixels(size) - first) / (last - first) if last > first else 0.0
            return max(low + share * (high - low), low * _pixels(size) / first / 4)

        trained = draft.trained
        return StepCost(
            at(trained, small.step, large.step),
            at(trained, small.cpu, large.cpu),
            at(draft.size, small.predict, large.predict),
            at(draft.size, small.letterbox, large.letterbox),
            int(at(trained, small.memory, large.memory)),
        )

    def exactly(self, draft: _Draft, batch: int) -> StepCost:
        return self.cost_of(draft.recipe(self.facts, batch))

    def batch_of(self, draft: _Draft, steps: int) -> int:
        """On a CPU 8, and 4 where so few steps fit that more of them are worth more than less noise;
        on a card the batch from which an image gets no cheaper. steps: that fit with 8.
        """
        if self.machine.kind == "cpu":
            return BATCH if steps >= FEW_STEPS else BATCH // 2
        best, cheapest = BATCH, math.inf
        for batch in (BATCH, 2 * BATCH, 4 * BATCH):
            if batch > max(BATCH, self.facts.images // 8):
                break
            cost = self.exactly(draft, batch)
            if cost.memory > self.machine.memory or cost.step / batch > cheapest * 0.9:
                break
            best, cheapest = batch, cost.step / batch
        return best

    def _probed(self) -> tuple[GridSize, GridSize]:
        """Of the sizes that are considered, the first and the one with about four times its pixels."""
        sizes = list(self.facts.sizes)
        first = sizes[0]
        return first, min(sizes, key=lambda size: abs(math.log(_pixels(size) / _pixels(first) / 4)))


BATCH, FEW_STEPS = 8, 1_000
"""The usual batch; below so many steps half of it (teeth at 128², 4 minutes of processor time: .667 in
280 steps of 8, .709 in 540 of 4)."""


def _crops(size: GridSize, machine: MachineFacts) -> list[GridSize | None]:
    """Whole images, and crops where an image is large enough for several."""
    side = CROP_ON_CPUS if machine.kind == "cpu" else CROP_ON_CARDS
    large = min(size) >= 2 * side
    return [None, (side, side)] if large else [None]


def _pixels(size: GridSize) -> int:
    return size[0] * size[1]


def _bid(
    draft: _Draft,
    facts: DataFacts,
    machine: MachineFacts,
    cost: StepCost,
    ask: PlanRequest,
    *,
    batch: int = BATCH,
) -> _Bid:
    """The folds are as many as leave each network `ENOUGH` images, at least one."""
    counts = [len(ask.folds)] if ask.all_folds else range(len(ask.folds), 0, -1)
    for count in counts:
        seconds = _beside_training(draft, facts, machine, cost, ask, count)
        left = ask.time.seconds - sum(seconds.values())
        trained = count * ask.seeds
        steps = max(FEWEST_STEPS, int(left * (1 - VALIDATING) / trained / cost.step))
        if steps * batch >= ENOUGH or count == counts[-1]:
            break
    seconds["training"] = steps * cost.step * trained
    seconds["validation"] = seconds["training"] * VALIDATING
    error = _expected_error(draft, facts, steps * batch)
    late = max(0.0, sum(seconds.values()) - ask.time.seconds * (1 + LATE_AT_MOST))
    if machine.memory and cost.memory > machine.memory:
        late = math.inf
    return _Bid(late, error, batch, steps, ask.folds[:count], trained, cost, seconds)


def _beside_training(
    draft: _Draft,
    facts: DataFacts,
    machine: MachineFacts,
    cost: StepCost,
    ask: PlanRequest,
    folds: int,
) -> dict[str, float]:
    """Seconds of everything but steps and validation."""
    seconds = {"planning": ask.time.spent, "starting": machine.start}
    held = facts.images * folds / ask.parts
    seconds["reading images"] = facts.images * cost.letterbox
    if ask.time.until == "train":
        return seconds
    seconds["starting"] += machine.start + LIGHT_STARTS * LIGHT
    seconds["reading images"] += facts.predicted * cost.letterbox
    images = (held + facts.predicted * folds) * ask.seeds
    seconds["prediction"] = images * (cost.predict * (1 + ask.views) + facts.decode)
    seconds["decisions"] = (TUNING * held + 2 * facts.predicted) * facts.decode
    return seconds


def _expected_error(draft: _Draft, facts: DataFacts, examples: int) -> float:
    """Of a network that has seen so many examples; an example that is a crop counts for its side."""
    share = (_pixels(draft.trained) / _pixels(draft.size)) ** 0.5
    seen = examples * share
    power = EARLY if seen < SEEN else LATE
    learned = min(1.0, NETWORKS[draft.network].left * (SEEN / max(seen, 1)) ** power)
    of_masks = learned + EDGES * (1 - facts.ceilings[draft.size])
    # A mask where there is none, or none where there is one, costs the whole image.
    return (1 - facts.empty_images) * of_masks + (1 - facts.told_apart[draft.size])


Terms = list[dict[str, Any]]


def _loss(facts: DataFacts) -> tuple[Terms, str]:
    """Cross-entropy over classes that exclude each other, else BCE; beside it a Dice."""
    exclusive = facts.exclusive and facts.classes > 1
    often = facts.empty_masks > OFTEN_EMPTY
    mostly = facts.empty_masks > MOSTLY_EMPTY and not exclusive
    share = f"{facts.empty_masks:.0%} of the masks are empty"
    overlap: dict[str, Any] = {"name": "dice", "over": "image"}
    why = f"{share}: a Dice over each image, as it will be scored"
    if mostly:
        why = f"{share}: a Dice over each image, in which a mask where there is none costs all"
    elif often:
        overlap["over"] = "batch"
        why = f"{share}: a Dice over the batch, since that of an empty mask is all or nothing"
    if often:
        overlap["epsilon"] = 1.0
    if exclusive:
        terms = [{"name": "cross-entropy"}, {**overlap, "exclusive": True}]
        return terms, f"classes exclude each other: softmax; {why}"
    return [{"name": "bce"}, overlap], why


OFTEN_EMPTY = 0.05
"""Share of pairs of image and class without a pixel from which Dice is taken over the batch."""
MOSTLY_EMPTY = 0.3
"""And from which it is taken over each image again: not to see what is not there is most of the score
then. Far ahead on made-up images with 95 % (.996 against .946 at 128², docs/results-log.md), behind with
14 % (teeth). By a softmax it gains nothing (.846 against .860 with 44 %, tuned).
"""
MORE_POSITIVES = (0.7, 0.4)
"""Share of examples that show a mask, at first and at last."""


def _prior(facts: DataFacts) -> tuple[float, str]:
    """The probability that the logits begin with; by softmax the one that leaves the background its
    share of the pixels, 0 being the background's logit.
    """
    if facts.exclusive and facts.classes > 1:
        background = min(max(1 - facts.labelled, 0.02), 0.98)
        odds = (1 - background) / background / facts.classes
        every = f"{facts.labelled:.0%} of the pixels have a class"
        return _short(odds / (1 + odds)), f"{every}; softmax over {facts.classes} begins with that"
    share, words = (
        facts.class_share,
        f"a class has {facts.class_share:.2%} of the pixels on average",
    )
    if facts.empty_images > RARE:
        share *= sum(MORE_POSITIVES) / 2 / (1 - facts.empty_images)
        words += f", {share:.2%} of those that are shown"
    return _short(min(max(share, 0.001), 0.5)), words


def _augmentation(facts: DataFacts, epochs: float) -> tuple[dict[str, float], str]:
    """The more often an image is seen, and the freer it lies, the more it is changed."""
    seen = f"each is seen {_count(epochs)}"
    often = epochs >= MANY_EPOCHS
    if facts.turned:
        words = f"images may be turned and mirrored; {seen}"
        return ({"rotate": 45.0, "scale": 0.3} if often else {"rotate": 30.0, "scale": 0.2}), words
    if facts.mirrored:
        words = f"images may be mirrored: no side has a meaning; {seen}"
        return (
            {"rotate": 30.0, "scale": 0.25} if often else {"rotate": 15.0, "scale": 0.15}
        ), words
    words = f"sides have a meaning; {seen}"
    return ({"rotate": 15.0, "scale": 0.2} if often else {"rotate": 10.0, "scale": 0.1}), words


MANY_EPOCHS = 20
"""In 4 passes over nuclei, 15° and .15 were ahead of 30° and .25 (.872 against .866)."""


def _ema(steps: int) -> tuple[float, str]:
    """The mean reaches back over a tenth of the run."""
    reach = min(max(steps / 10, 10), 1000)
    return _short(1 - 1 / reach), f"the mean of about the last {reach:.0f} of {steps} steps"


def _learning_rate(network: str, batch: int, steps: int) -> tuple[float, str]:
    """By the root of the batch (AdamW) above the usual one, and larger where steps are few."""
    own, larger = LEARNING_RATES[network], max(1.0, batch / BATCH)
    hurried = min(max((LONG / steps) ** 0.5, 1.0), MOST_HURRIED)
    words = f"{own:g} for a batch of {BATCH} or less" + (", by its root" if larger > 1 else "")
    words += f"; {hurried:.2g} times that for {steps} steps" if hurried > 1 else ""
    return _short(own * larger**0.5 * hurried), words


LONG, MOST_HURRIED = 8_100, 3.0
"""Steps from which the usual rate will do; fewer have a rate that is larger by the root, at most three
times. Three times was ahead in 900 steps on teeth (.747 against .723) and in 550 on nuclei (.866 against
.862), and for the plain script of the benchmarks (.875 against .840)."""

LEARNING_RATES = {
    "light-unet-lite0": 1e-3,
    "unet-lite0": 1e-3,
    "unet-resnet18": 1e-3,
    "upernet": 2e-4,
}


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _written(
    draft: _Draft,
    bid: _Bid,
    facts: DataFacts,
    machine: MachineFacts,
    ask: PlanRequest,
    pretrained: bool,
) -> Choice:
    """Line by line, in the order in which they follow from each other."""
    at_hand = f"{'' if pretrained else 'no '}published weights are at hand"
    lines = [
        Reasoned("base", draft.network, NETWORKS[draft.network].why),
        Reasoned("pretrained", pretrained, at_hand),
        *_input_lines(draft, facts),
        Reasoned("batch", bid.batch, _why_batch(bid, machine)),
        Reasoned("loss", *_loss(facts)),
        Reasoned("network.prior", *_prior(facts)),
        Reasoned("optimizer.learning_rate", *_learning_rate(draft.network, bid.batch, bid.steps)),
        *_length_lines(bid, facts, ask),
    ]
    cpu_seconds = bid.steps * bid.cost.cpu * bid.networks
    return Choice(tuple(lines), bid.folds, _why_folds(bid, ask), bid.seconds, cpu_seconds)


def _input_lines(draft: _Draft, facts: DataFacts) -> list[Reasoned]:
    """What the network sees of which images."""
    fit = "pad" if facts.aspects > UNLIKE_ASPECTS else "stretch"
    lines = [
        Reasoned("size", list(draft.size), _why_size(draft, facts)),
        Reasoned("fit", fit, _why_fit(facts)),
    ]
    if draft.crop is not None:
        reason = f"a step on the whole of {_times(draft.size)} would cost too many steps"
        lines.append(Reasoned("sampling.crop", list(draft.crop), reason))
    if facts.empty_images > RARE:
        share = f"{facts.empty_images:.0%} of the images have no mask"
        reason = f"{share}: more of the others, at first"
        lines.append(Reasoned("sampling.positives", list(MORE_POSITIVES), reason))
    elif draft.crop is not None:
        lines.append(Reasoned("sampling.centred", 0.33, "some crops of each batch show a mask"))
    return lines


def _length_lines(bid: _Bid, facts: DataFacts, ask: PlanRequest) -> list[Reasoned]:
    """How long it trains, and what follows from that."""
    cost, steps = bid.cost, bid.steps
    epochs = steps * bid.batch / facts.images
    seconds = f"{steps * cost.step:.0f} s at {cost.step:.3g} s a step"
    augmentation, reason = _augmentation(facts, epochs)
    validation = facts.images / ask.parts * (cost.predict + facts.decode)
    affordable = int(steps * cost.step * VALIDATING / max(validation, 1e-9))
    validations = max(1, min(MOST_VALIDATIONS, affordable))
    every = math.ceil(steps / validations)
    made = math.ceil(steps / every)
    told = f"{made} validation{'s' if made > 1 else ''}, {VALIDATING:.0%} of the time at most"
    return [
        Reasoned("schedule.iterations", steps, f"{seconds}; each image {_count(epochs)}"),
        Reasoned("ema", *_ema(steps)),
        *(Reasoned(f"augmentation.{key}", value, reason) for key, value in augmentation.items()),
        Reasoned("validate_every", every, told),
    ]


def _why_fit(facts: DataFacts) -> str:
    if facts.aspects < 1.05:
        return "all images have one aspect"
    return f"widths / heights differ by {facts.aspects:.2g} times"


def _count(times: float) -> str:
    """In words of a person.

    >>> _count(0.4), _count(1.4), _count(12.2)
    ('less than once', '1.4 times', '12 times')
    """
    if times < 1:
        return "less than once"
    return f"{times:.2g} times" if times < 10 else f"{times:.0f} times"


def _why_batch(bid: _Bid, machine: MachineFacts) -> str:
    if machine.kind == "cpu":
        return f"{bid.steps:,} steps; a larger one would make them rarer"
    used, there = bid.cost.memory / 2**30, machine.memory / 2**30
    return f"{used:.1f} GiB of {there:.0f}; larger ones are no faster"


def _why_size(draft: _Draft, facts: DataFacts) -> str:
    """What it can reach, and what the next one could."""
    sizes = list(facts.sizes)
    place = sizes.index(draft.size)
    words = f"the truth shrunk to it and enlarged has Dice {facts.ceilings[draft.size]:.3f}"
    if place + 1 < len(sizes):
        further = sizes[place + 1]
        words += f", {facts.ceilings[further]:.3f} at {_times(further)} in fewer steps"
    if facts.empty_images > RARE:
        told = [f"{facts.told_apart[draft.size]:.1%} of images with a mask from those without"]
        told += [f"{facts.told_apart[sizes[place - 1]]:.1%} one size below"] if place else []
        words += f"; plain features tell {', '.join(told)}"
    return words


def _why_folds(bid: _Bid, ask: PlanRequest) -> str:
    if ask.all_folds:
        return "as asked"
    seen = bid.steps * bid.batch
    if len(bid.folds) == len(ask.folds):
        return f"all: each network sees {seen:,} images"
    return f"of {len(ask.folds)}: a further one would leave each fewer than {ENOUGH:,} images"


def _times(size: GridSize) -> str:
    return f"{size[0]}×{size[1]}"

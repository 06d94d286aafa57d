"""Soups: the weights of one recipe's seeds averaged to one network a fold, a member of its own.

Which seeds go into a fold's network is chosen by the scores on the other folds, so that its own
out-of-fold score is of a network that was not chosen by it.
"""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from competition.decoding.blend import blend
from competition.decoding.ensemble import plain_sums
from competition.entry import Entry, Member
from competition.errors import InputFault, listed
from competition.inference.store import Store
from competition.project import Project
from competition.steps.predict import letterboxed, prediction_settings, provenance_of
from competition.steps.train import training_task
from competition.workspace import TEMPORARY, read_json, remove_orphans


def make_soups(project: Project, entry: Entry, *, force: bool = False) -> None:
    """The soup of each recipe of the entry, a checkpoint for each of its folds."""
    for member in entry.soups:
        _make_soup(project, member, entry.folds, force=force)
    project.say(
        "next: `podium predict --soup`; `podium run submit --soup` does all that is missing"
    )


def _make_soup(project: Project, member: Member, folds: tuple[int, ...], *, force: bool) -> None:
    def run() -> dict[str, Any]:
        from competition.training.checkpoint import save_checkpoint
        from competition.training.weight_averaging import greedy_seeds

        _require_alike(project, member, folds)
        remove_orphans(project.workspace.runs / str(member))
        pot, chosen = _Pot(project, member), {}
        for fold in folds:
            others = tuple(other for other in folds if other != fold)
            value = project.metric_sums.value
            chosen[fold] = greedy_seeds(
                member.soup,
                lambda seeds, others=others: float(
                    project.metric_sums.overall(pot.sums_over(seeds, others).sum(axis=0))
                ),
            )
            tried = [(seed,) for seed in member.soup]
            alone = (f"{_said(one)} {value(pot.sums_over(one, others)):.4f}" for one in tried)
            project.say(
                f"fold {fold} takes {_said(chosen[fold])}, by the scores of the other folds: "
                f"{value(pot.sums_over(chosen[fold], others)):.4f}; {', '.join(alone)}"
            )
        for fold, seeds in chosen.items():
            target = project.workspace.run(str(member), fold) / "checkpoint.pt"
            save_checkpoint(target, *pot.network(seeds, fold))
        return {"seeds": {str(fold): list(seeds) for fold, seeds in chosen.items()}}

    project.perform(project.pipeline.soup(member, folds), run, force=force)


def _said(seeds: tuple[int, ...]) -> str:
    """
    >>> _said((0,)), _said((0, 1, 2))
    ('seed 0', 'seeds 0, 1, 2')
    """
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _require_alike(project: Project, member: Member, folds: tuple[int, ...]) -> None:
    """InputFault unless each fold's networks were trained on the same, with the same recipe, on the
    split as it is now: one of another split may have seen the images that it is scored on.
    """
    faults = []
    for fold in folds:
        trained = {
            str(one): read_json(project.workspace.run(str(one), fold) / "train.json")["inputs"]
            for one in member.ingredients
        }
        (first, inputs), *others = trained.items()
        if inputs["fold"] != project.pipeline.split(fold):
            faults.append(f"{first} was trained on another split than fold {fold} is now")
        for name, own in others:
            unlike = [key for key in {**inputs, **own} if inputs.get(key) != own.get(key)]
            if unlike:
                what = ", ".join(unlike)
                faults.append(
                    f"{name} was trained on other inputs than {first}, fold {fold}: {what}"
                )
    if faults:
        raise InputFault(
            listed(faults) + "\na soup is of networks that were trained alike; train them again"
        )


class _Pot:
    """The networks of a soup's ingredients, averaged in any selection, and how that scores."""

    def __init__(self, project: Project, member: Member) -> None:
        self.project, self.member = project, member
        self._sums = cache(self._scored)  # two folds' choices ask for the same soup on a third
        self._task = cache(self._trained_on)

    def network(self, seeds: tuple[int, ...], fold: int) -> tuple[Any, Any]:
        """The network with the mean of these seeds' weights on a fold, and its `checkpoint.Training`.

        Of one seed it is that seed's own; else norms are measured anew on the fold's training images.
        """
        from competition.training.checkpoint import load_checkpoint
        from competition.training.weight_averaging import mean_weights

        project = self.project
        members = [one for one in self.member.ingredients if one.seed in seeds]
        paths = [project.workspace.run(str(one), fold) / "checkpoint.pt" for one in members]
        loaded = [
            load_checkpoint(path, classes=project.classes, pixels=project.competition.data)
            for path in paths
        ]
        network, training = loaded[0]
        for path, (_, own) in zip(paths, loaded, strict=True):
            if (own.recipe, own.fold) != (training.recipe, fold):
                raise InputFault(
                    f"{path} is of another recipe or fold than its receipt says; train it again"
                )
        if len(loaded) > 1:
            network.load_state_dict(mean_weights([one.state_dict() for one, _ in loaded]))
            self._measure_norms(network, training, fold)
        return network, training.model_copy(update={"soup": seeds})

    def sums_over(self, seeds: tuple[int, ...], folds: tuple[int, ...]) -> np.ndarray:
        """What the held-out images of these folds add, at threshold 0.5, float64 (N, K, C)."""
        return np.concatenate([self._sums(seeds, fold) for fold in folds])

    def _scored(self, seeds: tuple[int, ...], fold: int) -> np.ndarray:
        """By way of a store, as `predict` and `ensemble` would have it."""
        from competition.inference.predict import predict_store

        project, images = self.project, self.project.validation_images(fold)
        network, training = self.network(seeds, fold)
        settings = prediction_settings(project, training.recipe)
        settings.machine.apply()
        home = project.workspace.runs / str(self.member)
        home.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=home) as made,
            project.watch(f"{_said(seeds)} on fold {fold}", 2 * len(images)) as advance,
        ):
            predict_store(
                [network],
                letterboxed(project, training.recipe, "train"),
                Path(made) / "oof",
                images=images,
                provenance=provenance_of(self.member, training, "oof", ()),
                settings=settings,
                advance=advance,
            )
            store = Store.open(Path(made) / "oof", classes=project.classes)
            together = blend({str(self.member): store}, exclusive=project.exclusive)
            return plain_sums(
                together,
                project.labels,
                project.metric_sums,
                ignored=project.ignored,
                advance=advance,
            )

    def _trained_on(self, fold: int) -> Any:
        first = self.member.ingredients[0]
        recipe = first.adapted(self.project.recipe(first.recipe))
        return training_task(self.project, first, fold, recipe)

    def _measure_norms(self, network: Any, training: Any, fold: int) -> None:
        from competition.machine import machine_of
        from competition.training.fit import plain_images, tiling_of
        from competition.training.weight_averaging import measure_norms

        machine = machine_of().for_precision(training.recipe.precision)
        machine.apply()
        network.to(machine.torch_device())
        recipe, train = training.recipe, self._task(fold).train
        shown = plain_images(train, recipe.batch, tiling_of(network, recipe))
        with machine.autocast():
            measure_norms(network, shown)

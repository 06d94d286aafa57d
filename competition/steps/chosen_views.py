"""Which test-time views a member's networks predict with, where `[ensemble] choose_views` asks for that.

For each fold they are chosen by the scores on the other folds, so that its own out-of-fold score is of
views that were not chosen by it.
"""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from competition.decoding.blend import blend
from competition.decoding.ensemble import plain_sums
from competition.entry import Entry, Member
from competition.errors import InputFault
from competition.evaluation.significance import step_gain
from competition.inference.store import Store
from competition.inference.views import AS_IT_IS, ChosenViews, TriedView
from competition.project import Project
from competition.steps.predict import letterboxed, prediction_settings, provenance_of
from competition.workspace import TEMPORARY, remove_orphans


def choose_views(project: Project, entry: Entry) -> None:
    """The views of each member's networks; says of each view what it gains, and writes views.json.

    A view is offered in the order of `[ensemble] views`, on top of the image as it is and of those that
    were kept before it. It is kept where its gain at threshold 0.5 is significant.
    """
    for member in entry.networks:
        _choose_for(project, member, entry.folds)


def _choose_for(project: Project, member: Member, folds: tuple[int, ...]) -> None:
    def run() -> None:
        if len(folds) < 2:
            raise InputFault(
                "choose_views in [ensemble] chooses the views of a fold by the scores of the others, "
                f"and fold {folds[0]} is the only one; give two folds or more, or leave choose_views out"
            )
        home = project.workspace.runs / str(member)
        remove_orphans(home)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=home) as made:
            for fold in folds:
                _predict_each(project, member, fold, Path(made))
            judge = _Judge(project, folds, Path(made))
            chosen = {fold: judge.tried(fold) for fold in folds}
        for fold, tried in chosen.items():
            kept = [one.view for one in tried if one.kept]
            shown = " and ".join([AS_IT_IS, *kept])
            project.say(
                f"{member} fold {fold} sees images {shown}, by the scores of the other folds: "
                f"{'; '.join(map(str, tried))}"
            )
        found = {str(fold): tried for fold, tried in chosen.items()}
        ChosenViews(tried=found).write(project.pipeline.views_file(member))

    project.perform(project.pipeline.chosen_views(member, folds), run, force=False)


def _predict_each(project: Project, member: Member, fold: int, home: Path) -> None:
    """A store of the held-out images for each view alone."""
    from competition.inference.predict import predict_store
    from competition.training.checkpoint import load_checkpoint

    network, training = load_checkpoint(
        project.workspace.run(str(member), fold) / "checkpoint.pt",
        classes=project.classes,
        pixels=project.competition.data,
    )
    images, shown = project.validation_images(fold), (AS_IT_IS, *project.views)
    with project.watch(f"views of {member} fold {fold}", len(shown) * len(images)) as advance:
        for place, view in enumerate(shown):
            settings = prediction_settings(project, training.recipe, (view,), alone=True)
            settings.machine.apply()
            predict_store(
                [network],
                letterboxed(project, training.recipe, "train"),
                _store_of(home, fold, place),
                images=images,
                provenance=provenance_of(member, training, "oof", ()),
                settings=settings,
                advance=advance,
            )


def _store_of(home: Path, fold: int, place: int) -> Path:
    return home / f"fold-{fold}-view-{place}"


class _Judge:
    """How the mean over any views scores, on the held-out images of any folds."""

    def __init__(self, project: Project, folds: tuple[int, ...], home: Path) -> None:
        self.project, self.folds, self.home = project, folds, home
        self._sums = cache(self._scored)  # folds' choices ask for the same views on a third one

    def tried(self, fold: int) -> tuple[TriedView, ...]:
        """Every view in its order, judged on the folds but this one."""
        project, others = self.project, [one for one in self.folds if one != fold]
        images = [image for one in others for image in project.validation_images(one)]
        groups = np.array([project.groups[image] for image in images])
        kept: tuple[str, ...] = (AS_IT_IS,)
        before = self._over(kept, others)
        found = []
        for view in project.views:
            after = self._over((*kept, view), others)
            gain = step_gain(before, after, groups, project.metric_sums)
            found.append(
                TriedView(
                    view=view,
                    kept=gain.significant,
                    gain=gain.gain,
                    low=gain.low,
                    high=gain.high,
                    p_value=gain.p_value,
                )
            )
            if gain.significant:
                kept, before = (*kept, view), after
        return tuple(found)

    def _over(self, views: tuple[str, ...], folds: list[int]) -> np.ndarray:
        """What the held-out images of these folds add, float64 (N, K, C)."""
        return np.concatenate([self._sums(views, fold) for fold in folds])

    def _scored(self, views: tuple[str, ...], fold: int) -> np.ndarray:
        project, shown = self.project, (AS_IT_IS, *self.project.views)
        stores: dict[str, Any] = {
            view: Store.open(_store_of(self.home, fold, shown.index(view)), classes=project.classes)
            for view in views
        }
        together = blend(stores, exclusive=project.exclusive)
        return plain_sums(together, project.labels, project.metric_sums, ignored=project.ignored)

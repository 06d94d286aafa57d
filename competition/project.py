"""One competition opened: its file, its folders, its graph of steps, and what many steps read."""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from competition.data.catalog import build_catalog, extra_beside, of_split, sizes_of
from competition.data.folds import load_folds
from competition.data.holdout import set_apart
from competition.data.images import safe_path
from competition.data.labels import LabelCache, keep_labels, load_labels
from competition.data.levels import pictured
from competition.data.strips import overview
from competition.entry import Member
from competition.errors import InputFault, as_called
from competition.evaluation.metric_sums import MetricSums, Slices, slices_of
from competition.freshness import Step
from competition.inference.views import ChosenViews, checked_views
from competition.masks import Runs
from competition.pipeline import Pipeline
from competition.progress_bar import Watch, unwatched
from competition.recipes import Recipe, recipe_of
from competition.recipes.planned import AUTO, asks_for_plan, with_plan
from competition.spec import Competition, load_competition
from competition.submission.rows import own_sample
from competition.workspace import Workspace, held, write_text

ACTIVE = "competition.toml"
VARIABLE = "PODIUM_COMPETITION"


def demo_folder(root: Path, *, short: bool = False) -> Path:
    """Where the built-in demo competition is written, or its short form."""
    return root / "runs" / ("demo-short" if short else "demo") / "data"


def competition_file(given: Path | None, root: Path) -> Path:
    """The file in force: the one given, $PODIUM_COMPETITION, ./competition.toml, or the demo's."""
    if given is not None:
        return given
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    own = root / ACTIVE
    return own if own.exists() else demo_folder(root) / ACTIVE


class Project:
    """What every step works with. Tables and labels are read when they are first asked for.

    say: prints a line; watch: shows progress.
    """

    def __init__(
        self,
        competition: Competition,
        root: Path,
        *,
        say: Callable[[str], None] = print,
        watch: Watch = unwatched,
        planned: bool = True,
    ) -> None:
        self.say = lambda line: say(as_called(line))
        self.watch = watch
        self.workspace = Workspace(root, competition.name)
        self.plans = asks_for_plan(competition)
        """Whether the file leaves its recipe to a plan."""
        self.competition = with_plan(competition, self.workspace) if planned else competition
        self.views = checked_views(
            competition.ensemble.views, may_mirror=competition.may_flip, turns=competition.turns
        )
        """Test-time views that the competition allows, by name."""
        self.pipeline = Pipeline(self)
        self._recipes: dict[str, Recipe] = {}

    @classmethod
    def open(
        cls,
        given: Path | None = None,
        root: Path | None = None,
        *,
        say: Callable[[str], None] = print,
        watch: Watch = unwatched,
        unsettled: bool = False,
        planned: bool = True,
    ) -> "Project":
        """The project in the working folder, or in `root`; InputFault where there is no file.

        unsettled: also one whose file has marked lines; their first candidates are in force then.
        planned: whether the plan that is there counts, which a new one does without.
        """
        root = (root or Path.cwd()).resolve()
        path = competition_file(given, root)
        if path == demo_folder(root) / ACTIVE and not path.exists():
            raise InputFault(
                "no competition.toml here, and the built-in demo competition is not written yet; "
                "`python -m competition demo` writes it, `python -m competition new` begins yours"
            )
        competition = load_competition(path)
        if competition.questions and not unsettled:
            raise InputFault("\n".join(competition.questions))
        return cls(competition, root, say=say, watch=watch, planned=planned)

    def perform(self, step: Step, run: Callable[[], dict[str, Any] | None], *, force: bool) -> bool:
        """Do a step unless it is fresh; returns whether it was done.

        MachineFault where another process does it at the moment.
        """
        with held(self.workspace.lock(step.name), step.name):
            state = step.state()
            if state.kind == "fresh" and not force:
                self.say(f"{step.name}: done already")
                return False
            self.say(f"{step.name}: {state.beginning()}")
            step.perform(run)
            return True

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the organisers' order."""
        return self.competition.classes

    @property
    def exclusive(self) -> bool:
        """Whether a pixel has at most one class."""
        return self.competition.exclusive

    @property
    def metric_sums(self) -> MetricSums:
        """The competition's metric, and which images are slices of one volume."""
        return MetricSums.of(self.competition, self.slices)

    @cached_property
    def slices(self) -> Slices:
        """The volume and place of every image, where the metric sees volumes; else none."""
        return slices_of(self.everything) if self.competition.metric.over_volumes else {}

    @cached_property
    def everything(self) -> pd.DataFrame:
        """The catalog of all images, whether a holdout is set apart or not."""
        return build_catalog(self.competition)

    @property
    def catalog_if_any(self) -> pd.DataFrame | None:
        """`everything`, None where the images cannot be listed, which the doctor tells."""
        try:
            return self.everything
        except InputFault:
            return None

    def begin_with(self, catalog: pd.DataFrame, labels: LabelCache) -> None:
        """Take the catalog of all images and their labels as they were just read, and keep the labels
        for the steps that follow.
        """
        vars(self).update(everything=catalog, labels=labels)
        keep_labels(labels, self.competition, self.workspace, catalog)

    @cached_property
    def catalog(self) -> pd.DataFrame:
        """The catalog with the holdout set apart; read after the split is made."""
        share, space = self.competition.split.holdout, self.workspace
        return set_apart(self.everything, space.holdout, space.folds, share)

    def rows(self, split: str) -> pd.DataFrame:
        """Rows of the catalog: "train", "extra", "test", "unlabelled" or "holdout"."""
        return of_split(self.catalog, split)

    def forget_catalog(self) -> None:
        """Read the catalog anew: what was read before a holdout was set apart does not know it."""
        vars(self).pop("catalog", None)

    @cached_property
    def groups(self) -> dict[str, str]:
        """Image → its group, of all images."""
        return dict(zip(self.everything["image"], self.everything["group"], strict=True))

    @cached_property
    def labels(self) -> LabelCache:
        """Image → Runs (K, H, W) of every labelled image: training, holdout and extra ones."""
        return load_labels(self.competition, self.workspace, self.everything)

    @property
    def ignored(self) -> Mapping[str, Runs]:
        """Image → Runs (1, H, W) of the pixels that do not count, empty where all do; as `labels`."""
        return self.labels.ignored

    @cached_property
    def folds(self) -> pd.DataFrame:
        """The split in git, checked."""
        path = self.workspace.folds
        if not path.exists():
            raise InputFault(f"no split {path}; `python -m competition folds` makes it")
        count, marked = self.competition.split.folds, self.competition.marked
        return load_folds(path, self.catalog, folds=count, marked=marked)

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Native (height, width) of every image."""
        return sizes_of(self.catalog)

    def pixels(self, image: str) -> np.ndarray:
        """An image for eyes, uint8 (H, W, 3): as the loader reads it, see `pictured`; smaller where it
        is too large to be decoded whole.
        """
        path = self._paths[image]
        return pictured(overview(self.competition.root, path, self.competition.data))

    @cached_property
    def _paths(self) -> dict[str, str]:
        return dict(zip(self.catalog["image"], self.catalog["path"], strict=True))

    @property
    def has_test_part(self) -> bool:
        """A data set has none; everything up to tuning works without."""
        return self.competition.data.test_images is not None

    @property
    def sample(self) -> Path:
        """The organisers' sample, or our own of all test images; InputFault where there are none."""
        self.require_test_part("nothing to submit")
        given = self.competition.submission.sample
        if given is not None:
            return safe_path(self.competition.root, given, links=self.competition.links)
        path = self.workspace.runs / "sample_submission.csv"
        write_text(path, own_sample(self.competition, self.rows("test")["image"].tolist()))
        return path

    def require_test_part(self, otherwise: str) -> None:
        """InputFault where there is none; otherwise: what there is then."""
        if not self.has_test_part:
            raise InputFault(
                f"{self.competition.name!r} has no test part, so there is {otherwise}: name "
                "test_images in [data]"
            )

    def require_images_to_label(self) -> None:
        """InputFault where there are none that a pseudo round might label."""
        if not self.pipeline.unlabelled():
            raise InputFault(
                f"{self.competition.name!r} has no test part and no unlabelled images, so there is no "
                "image to label: name test_images or unlabelled_images in [data]"
            )

    def views_of(self, member: Member, fold: int) -> tuple[str, ...]:
        """The views that a network predicts with: all, or those chosen for it; InputFault where they are
        not chosen yet.
        """
        if not (self.views and self.competition.ensemble.choose_views):
            return self.views
        path, again = self.pipeline.views_file(member), "run `python -m competition predict`"
        if path.is_file():
            chosen = ChosenViews.read(path, what="a choice of views", again=again).of(fold)
            if chosen is not None:
                return chosen
        raise InputFault(f"the test-time views of {member} fold {fold} are not chosen yet; {again}")

    @property
    def permutation(self) -> tuple[int, ...] | None:
        """Of the classes under mirroring; None where it is forbidden."""
        return self.competition.permutation

    def recipe(self, name: str) -> Recipe:
        """The recipe `name`, its network for the competition's images."""
        if name == AUTO and AUTO not in self.competition.recipes:
            raise InputFault(
                f"recipes = [{AUTO!r}] is a recipe that is planned, and {self.workspace.plan} is not "
                "there: `podium plan --minutes 60` makes it; `podium run` makes it on the way"
            )
        if name not in self._recipes:  # transforms that it names are tried
            self._recipes[name] = recipe_of(self.competition, name)
        return self._recipes[name]

    def extra_images(self, fold: int) -> tuple[str, ...]:
        """Further labelled images that a network of this fold may see; never validated on."""
        held = {*self.validation_images(fold), *self.rows("holdout")["image"]}
        return extra_beside(self.competition.root, self.catalog, held, form=self.competition.data)

    def validation_images(self, fold: int) -> tuple[str, ...]:
        """Images of one fold; InputFault where it has none."""
        chosen = self.folds[self.folds["fold"] == int(fold)]
        if chosen.empty:
            there = ", ".join(str(number) for number in sorted(self.folds["fold"].unique()))
            raise InputFault(f"no image in fold {fold}; {self.workspace.folds} has folds {there}")
        return tuple(chosen["image"])

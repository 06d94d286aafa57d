"""The graph: which step needs which, what each reads and writes, and what is fresh, stale, missing.

demo → folds → train (→ soup) → predict → mean → ensemble → tune → submit → report
                 ↑____ pseudo ____|→ verdict

Commands run one kind of step each and never call another; `stages` lists the commands that a goal
takes, in order, and tasks run those that are not fresh. Nothing here imports torch.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from competition.data.bands import all_pixel_files
from competition.data.catalog import UNLABELLED_SPLITS
from competition.data.labels import label_files
from competition.data.pages import file_of
from competition.entry import NO_ROUND, Entry, Member, entry_of
from competition.errors import InputFault
from competition.experiment import Experiment
from competition.freshness import ContentHashes, Inputs, State, Step, hash_of
from competition.inference.store import FORMAT
from competition.marks import round_marks
from competition.pseudo.rounds import RoundSettings, TeacherEntry, read_round
from competition.recipes import Recipe
from competition.recipes.weights_file import weights_file
from competition.settings import DEFAULTS
from competition.solution import read_score, score_path
from competition.workspace import file_sha256, read_json

if TYPE_CHECKING:
    from competition.project import Project

TUNED = (
    "decisions.json",
    "one-half.csv",
    "cross-fitted.csv",
    "groups.csv",
    "thresholds.png",
    "gains.png",
    "classes.png",
    "reliability.png",
    "tradeoffs.png",
    "worst.png",
)
"""What `tune` leaves in an entry's folder. `metrics.csv` and `confusion.png`, which came later, are
left too; a choice from before them is not made again for their sake.
"""

_LATER_KEYS = {
    "exclude",
    "units",
    "coordinates",
    "first",
    "ignore",
    "ignore_files",
    "not_images",
    "links",
}
_LATER_KEYS |= {"volume", "slice_number", "slice_spacing", "slice_axis", "annotators"}
_LATER_KEYS |= {"colours", "background", "part", "masks.positives_only"}  # that of "rle" is older
_LATER_KEYS |= {"channels", "bits", "range", "bands", "frame", "neighbours", "ignore_at"}
"""Of `[data]` and `[labels]`: they count in receipts once they are set."""

Goal = Literal[
    "folds", "train", "soup", "predict", "ensemble", "tune", "submit", "report", "pseudo", "verdict"
]


@dataclass(frozen=True)
class Stage:
    """Steps that one command does: `python -m competition` followed by `command`."""

    command: tuple[str, ...]
    steps: tuple[Step, ...]
    parts: tuple["Stage", ...] = ()
    """The same as several, none of which needs another."""

    def is_fresh(self) -> bool:
        return all(step.state().kind == "fresh" for step in self.steps)


class Pipeline:
    """The steps of one project."""

    def __init__(self, project: "Project") -> None:
        self.project = project
        self.workspace = project.workspace
        self.contents = ContentHashes(self.workspace.cache / "contents.json")

    def folds(self) -> Step:
        """Made once and kept in git: fresh as soon as it is there, checked at every load."""
        return Step("folds", dict, (self.workspace.folds,), None)

    def plan(self) -> Step:
        """Made once and kept, so that runs can be repeated."""
        return Step("plan", dict, (self.workspace.plan,), None, ("folds",))

    def train(self, member: Member, fold: int) -> Step:
        member = member.network
        folder = self.workspace.run(str(member), fold)
        return Step(
            f"train {member} fold {fold}",
            lambda: self._training_inputs(member, fold),
            (folder / "checkpoint.pt", folder / "history.csv"),
            folder / "train.json",
            ("folds", *([f"pseudo {member.pseudo}"] if member.pseudo else [])),
        )

    def soup(self, member: Member, folds: tuple[int, ...]) -> Step:
        """A soup's networks, of all folds: which seeds go into one is chosen by the other folds."""
        pairs = [(one, fold) for one in member.ingredients for fold in folds]
        return Step(
            f"soup {member}",
            lambda: (
                {
                    **{
                        f"checkpoint of {one} fold {fold}": _file(
                            self.workspace.run(str(one), fold) / "checkpoint.pt", "train"
                        )
                        for one, fold in pairs
                    },
                    "split": hash_of([self.split(fold) for fold in folds]),
                    "images": self._images("train"),
                    "labels": self._labels(),
                    "flips": hash_of(self._views(self.project.views)),
                    "competition": hash_of(self._spec("classes", "exclusive", "metric", "objects")),
                }
                | self._pixels()
            ),
            tuple(self.workspace.run(str(member), fold) / "checkpoint.pt" for fold in folds),
            self.workspace.runs / str(member) / "soup.json",
            tuple(f"train {one} fold {fold}" for one, fold in pairs),
        )

    @property
    def chooses_views(self) -> bool:
        """Whether there are test-time views, and they are chosen by their gains."""
        return bool(self.project.views) and self.project.competition.ensemble.choose_views

    def views_file(self, member: Member) -> Path:
        return self.workspace.runs / str(member) / "views.json"

    def chosen_views(self, member: Member, folds: tuple[int, ...]) -> Step:
        """Which views a member's networks predict with, those of a fold by the scores of the others."""
        made_by = "soup" if member.soup else "train"
        runs = {fold: self.workspace.run(str(member), fold) for fold in folds}
        return Step(
            f"views {member}",
            lambda: (
                {
                    f"checkpoint fold {fold}": _file(run / "checkpoint.pt", made_by)
                    for fold, run in runs.items()
                }
                | {
                    "split": hash_of([self.split(fold) for fold in folds]),
                    "images": self._images("train"),
                    "labels": self._labels(),
                    "views": hash_of(self._views(self.project.views)),
                    "competition": hash_of(self._spec("classes", "exclusive", "metric", "objects")),
                }
                | self._pixels()
            ),
            (self.views_file(member),),
            self.views_file(member).with_suffix(".receipt.json"),
            (f"soup {member}",)
            if member.soup
            else tuple(f"train {member} fold {f}" for f in folds),
        )

    def predict(self, member: Member, fold: int) -> Step:
        """Out-of-fold and test predictions of one network."""
        if member.refined:
            return self._refine(member, fold)
        folder = self.workspace.run(str(member), fold)
        predicted = self.predicted()
        made_by = "soup" if member.soup else "train"
        after = f"soup {member}" if member.soup else f"train {member} fold {fold}"
        return Step(
            f"predict {member} fold {fold}",
            lambda: (
                {
                    "checkpoint": _file(folder / "checkpoint.pt", made_by),
                    "fold": hash_of(self.project.validation_images(fold)),
                    "images": self._images("train"),
                    "flips": hash_of(self._views(self.project.views_of(member, fold))),
                    "classes": hash_of(self._spec("classes")),
                    "format of the store": hash_of(FORMAT),
                }
                | self._pixels()
                | {f"{split} images": self._images(split) for split in predicted}
                | {
                    f"{split} ids": hash_of(list(self.project.rows(split)["image"]))
                    for split in predicted
                }
            ),
            tuple(folder / split / "store.json" for split in ("oof", *predicted)),
            folder / "predict.json",
            (f"views {member}" if self.chooses_views else after,),
        )

    def _refine(self, member: Member, fold: int) -> Step:
        """The predictions of a member's network, refined by the images."""
        folder, source = (self.workspace.run(str(m), fold) for m in (member, member.network))
        refinement = self.project.competition.ensemble.refine
        assert refinement is not None  # else no member of an entry is refined
        splits = ("oof", *self.predicted())
        return Step(
            f"predict {member} fold {fold}",
            lambda: (
                {
                    "refine": hash_of([refinement.radius, refinement.epsilon]),
                    "images": self._images("train"),
                }
                | {f"{one} images": self._images(one) for one in self.predicted()}
                | self._pixels()
                | {
                    f"predictions {one}": _file(source / one / "store.json", "predict")
                    for one in splits
                }
            ),
            tuple(folder / split / "store.json" for split in splits),
            folder / "predict.json",
            (f"predict {member.network} fold {fold}",),
        )

    def predicted(self) -> tuple[Literal["test", "holdout", "unlabelled"], ...]:
        """The parts that each network predicts beside its own fold, as far as there are any."""
        further = not self.project.rows("unlabelled").empty
        return (*self.averaged(), "unlabelled") if further else self.averaged()

    def unlabelled(self) -> tuple[str, ...]:
        """The parts of which pseudo rounds are made, as far as there are any."""
        return tuple(part for part in self.predicted() if part in UNLABELLED_SPLITS)

    def averaged(self) -> tuple[Literal["test", "holdout"], ...]:
        """The parts that are predicted by the mean over folds, as far as there are any."""
        parts: tuple[Literal["test", "holdout"], ...] = ("test", "holdout")
        return tuple(part for part in parts if not self.project.rows(part).empty)

    def mean(self, member: Member, folds: tuple[int, ...], split: str = "test") -> Step:
        """The mean over folds of one member's predictions of a split of `averaged`."""
        folder = self.mean_folder(member, folds, split)
        stores = [self.workspace.run(str(member), fold) / split / "store.json" for fold in folds]
        return Step(
            f"mean {member}" + ("" if split == "test" else f" {split}"),
            lambda: {
                f"fold {fold}": _file(s, "predict") for fold, s in zip(folds, stores, strict=True)
            },
            (folder / "store.json",),
            folder.with_name(folder.name + ".json"),
            tuple(f"predict {member} fold {fold}" for fold in folds),
        )

    def mean_folder(self, member: Member, folds: tuple[int, ...], split: str = "test") -> Path:
        return self.workspace.runs / str(member) / f"{split}-folds-{'-'.join(map(str, folds))}"

    def ensemble(self, entry: Entry) -> Step:
        folder = entry.folder(self.workspace)
        return Step(
            f"ensemble {entry.name}",
            lambda: self._decision_inputs(entry),
            (folder / "ensemble.json", folder / "ensemble.png"),
            folder / "ensemble.receipt.json",
            tuple(f"predict {m} fold {fold}" for m in entry.members for fold in entry.folds),
        )

    def tune(self, entry: Entry) -> Step:
        folder = entry.folder(self.workspace)
        return Step(
            f"tune {entry.name}",
            lambda: (
                self._decision_inputs(entry)
                | {"ensemble": _file(folder / "ensemble.json", "ensemble")}
            ),
            tuple(folder / name for name in TUNED),
            folder / "tune.receipt.json",
            (f"ensemble {entry.name}",),
        )

    def submit(self, entry: Entry, *, plain: bool = False) -> Step:
        """`plain`: threshold 0.5 instead of the decisions."""
        folder = entry.folder(self.workspace)
        target = self.workspace.submission(submission_name(entry, plain=plain))
        decided = folder / ("ensemble.json" if plain else "decisions.json")
        return Step(
            f"submit {target.stem}",
            lambda: (
                {
                    "decisions": _file(decided, "ensemble" if plain else "tune"),
                    "sample": _file(self.project.sample, "doctor"),
                    "submission": hash_of(
                        self._spec("submission", "classes", "exclusive", "objects")
                    ),
                }
                | {
                    f"mean {m}": _file(self.mean_folder(m, entry.folds) / "store.json", "predict")
                    for m in entry.members
                }
            ),
            (target,),
            folder / f"submit{'-plain' if plain else ''}.receipt.json",
            (
                *(f"mean {member}" for member in entry.members),
                f"{'ensemble' if plain else 'tune'} {entry.name}",
            ),
        )

    def report(self, entry: Entry, *, plain: bool = False) -> Step:
        """Of the entry as it is submitted; without a test part, as far as it goes. What is not there is
        left out; other submissions, beside which it stands, make it outdated by being written later
        only where it is made again anyway.
        """
        folder, name = entry.folder(self.workspace), submission_name(entry, plain=plain)
        handed = self.workspace.submission(name)
        chosen = ["ensemble.svg", *([] if plain else ["decisions.json", "metrics.csv"])]
        chosen += (
            [] if plain else [name.replace(".png", ".svg") for name in TUNED if ".png" in name]
        )
        found = {
            "submission": handed,
            "score": score_path(handed),
            "verdict": folder / "verdict.json",
            **{one: folder / one for one in chosen},
            **{
                f"history {member} fold {fold}": (
                    self.workspace.run(str(member), fold) / "history.csv"
                )
                for member in entry.trained
                for fold in entry.folds
            },
            **{
                f"mean {member}": self.mean_folder(member, entry.folds) / "store.json"
                for member in entry.members
            },
        }
        last = "submit" if self.project.has_test_part else "ensemble" if plain else "tune"
        return Step(
            f"report {name}",
            lambda: (
                self._decision_inputs(entry)
                | {"ensemble": _file(folder / "ensemble.json", "ensemble")}
                | {one: file_sha256(path) for one, path in found.items() if path.is_file()}
            ),
            (handed.with_suffix(".html"),),
            folder / f"report{'-plain' if plain else ''}.receipt.json",
            (f"{last} {name if last == 'submit' else entry.name}",),
        )

    def ablation(self, experiment: Experiment) -> Step:
        """The table of an ablation; scores of submissions count where they are there."""
        folder = experiment.folder(self.workspace)
        entries = [entry for row in experiment.entries for entry in row]
        scores = {entry.name: score_path(self._plain_submission(entry)) for entry in entries}

        def inputs() -> Inputs:
            made = {"trials": hash_of([trial._asdict() for trial in experiment.trials])}
            for entry in entries:
                made |= self._decision_inputs(entry)
            return made | {f"score {n}": _file(p, "score") for n, p in scores.items() if p.exists()}

        outputs = tuple(folder / f"{experiment.name}.{kind}" for kind in ("md", "csv", "png"))
        receipt = folder / f"{experiment.name}.receipt.json"
        return Step(f"ablation {experiment.name}", inputs, outputs, receipt)

    def unscored(self, experiment: Experiment) -> list[Path]:
        """Submissions of an ablation's trials that have no score yet."""
        entries = [entry for row in experiment.entries for entry in row]
        written = map(self._plain_submission, entries)
        return [path for path in written if read_score(path) is None]

    def pseudo(self, name: str, settings: RoundSettings | None = None) -> Step:
        """A round; settings: those that are asked for, by default its own."""
        folder = self.workspace.pseudo(name)
        settings = settings or self.round_settings(name)
        after = () if settings.csv else (f"predict {self.teachers(settings).name}",)
        return Step(
            f"pseudo {name}",
            lambda: self._round_inputs(folder, settings),
            (folder / "labels.csv",),
            folder / "receipt.json",
            after,
        )

    def round_settings(self, name: str) -> RoundSettings:
        """Those of a round that is there, else the usual ones with the file's own ensemble for
        teachers.
        """
        folder = self.workspace.pseudo(name)
        if (folder / "receipt.json").exists():
            return read_round(folder, self.project.competition).settings
        return RoundSettings(
            teachers=teacher_entry(entry_of(self.project.competition, pseudo=NO_ROUND))
        )

    def teachers(self, settings: RoundSettings) -> Entry:
        """Whose predictions a round is made of."""
        made = settings.teachers
        assert made is not None
        return entry_of(
            self.project.competition,
            recipes=made.recipes,
            folds=made.folds,
            seeds=made.seeds,
            pseudo=made.pseudo or NO_ROUND,
            pretrained=made.pretrained,
        )

    def teacher_of(self, student: Entry) -> Entry:
        """The entry that a student is compared with: itself without its round, or with the round that
        the teachers of its own were trained with.
        """
        rounds = {member.pseudo for member in student.members}
        name = next(iter(rounds))
        if name is None or len(rounds) > 1:
            raise InputFault(
                f"entry {student.name!r} learns from no round, so there is nothing to judge; name one "
                "by --pseudo ROUND"
            )
        made, first = self.round_settings(name).teachers, student.members[0]
        before = None if made is None else made.pseudo
        return entry_of(
            self.project.competition,
            recipes=tuple(dict.fromkeys(member.recipe for member in student.members)),
            folds=student.folds,
            seeds=tuple(dict.fromkeys(member.seed for member in student.trained)),
            pseudo=before or NO_ROUND,
            pretrained=first.pretrained,
            continued=first.continued,
            soup=bool(student.soups),
        )

    def verdict(self, student: Entry) -> Step:
        """Student against teacher, out of fold."""
        folder = student.folder(self.workspace)
        teacher = self.teacher_of(student)
        return Step(
            f"verdict {student.name}",
            lambda: (
                self._decision_inputs(student)
                | {
                    f"teacher: {key}": value
                    for key, value in self._decision_inputs(teacher).items()
                }
            ),
            (folder / "verdict.json",),
            folder / "verdict.receipt.json",
            (f"predict {student.name}", f"predict {teacher.name}"),
        )

    def _round_inputs(self, folder: Path, settings: RoundSettings) -> Inputs:
        """What a round depends on. What is not here (a round may come from git alone) is taken to be
        what it was.
        """
        spec = self._spec("classes", "exclusive")
        inputs = {
            "settings": hash_of(settings.chosen()),
            "competition": hash_of(spec),
        }
        if settings.csv is not None:
            files = settings.submissions
            names = ["csv"] if len(files) == 1 else [f"csv {path}" for path in files]
            sources = dict(zip(names, files, strict=True))
        else:
            entry = self.teachers(settings)
            sources = {
                f"predictions {member} fold {fold}" + ("" if split == "test" else f" {split}"): (
                    self.workspace.run(str(member), fold) / split / "store.json"
                )
                for member in entry.members
                for fold in entry.folds
                for split in self.unlabelled()
            }
        held = round_marks(self.workspace.marks)
        if held:
            inputs["marks"] = hash_of([[*key, kind] for key, kind in held.items()])
        path = folder / "receipt.json"
        before = read_json(path).get("inputs", {}) if path.exists() else {}
        for name, source in sources.items():
            gone = not source.is_file() and name in before
            inputs[name] = before[name] if gone else _file(source, "predict")
        return inputs

    def stages(
        self, goal: Goal, entry: Entry, *, plain: bool = False, made: Collection[str] = ()
    ) -> list[Stage]:
        """Every stage that leads to `goal` for this entry, each once, first things first.

        made: pseudo rounds that are taken to be there, whatever lies on the disk.
        """
        found: list[Stage] = [Stage(("folds",), (self.folds(),))]
        if self.project.plans and entry.is_planned:
            found.append(Stage(("plan",), (self.plan(),)))
        rounds = {member.pseudo for member in entry.members if member.pseudo}
        for name in sorted(rounds - set(made)):
            if self.pseudo(name).state().kind != "fresh":
                found += self.pseudo_stages(name)
        judged = bool(rounds) and goal in ("verdict", "submit", "report")
        if judged:
            found += self.stages("predict", self.teacher_of(entry), made=made)
        found += self._until(goal, entry, plain=plain, judged=judged)
        return list({stage.command: stage for stage in found}.values())

    def pseudo_stages(self, name: str) -> list[Stage]:
        """What leads to a pseudo round: its teachers' predictions."""
        settings = self.round_settings(name)
        made, step = ("pseudo", "--round", name), (self.pseudo(name),)
        if settings.csv is not None:
            named = [word for path in settings.submissions for word in ("--from", str(path))]
            return [Stage((*made, *named), step)]
        teachers = self.teachers(settings)
        return [*self.stages("predict", teachers), Stage((*made, *options_of(teachers)), step)]

    def ablation_stages(self, experiment: Experiment, *, submitted: bool) -> list[Stage]:
        """What leads to an ablation's table; `submitted`: plain submissions of each trial too.

        Trials train and predict together, since starting torch costs seconds.
        """
        made: list[Stage] = []
        for entry in experiment.together():
            made += self.stages("predict", entry)
        if submitted:
            for row in experiment.entries:
                for entry in row:
                    for stage in self._until("submit", entry, plain=True)[-2:]:
                        # A trial is compared whatever its round was worth.
                        wanted = ("--despite-verdict",) if entry.round else ()
                        ending = wanted if stage.command[0] == "submit" else ()
                        made.append(replace(stage, command=(*stage.command, *ending)))
        return made

    def _views(self, views: tuple[str, ...]) -> list[Any] | None:
        """What test-time views depend on, hashed as it was when mirroring was the only one."""
        permutation = self.project.permutation
        classes = None if permutation is None else list(permutation)
        if not views:
            return None
        return classes if views == ("mirror",) else [list(views), classes]

    def _until(
        self, goal: Goal, entry: Entry, *, plain: bool = False, judged: bool = False
    ) -> list[Stage]:
        """The entry's own stages; judged: with the verdict on its round."""
        options, of_trained = options_of(entry), options_of(replace(entry, members=entry.trained))
        networks = [(member, fold) for member in entry.networks for fold in entry.folds]
        pairs = [(member, fold) for member in entry.members for fold in entry.folds]
        means = [
            self.mean(member, entry.folds, split)
            for member in entry.members
            for split in self.averaged()
        ]
        steps: dict[str, tuple[Step, ...]] = {
            "train": tuple(
                self.train(member, fold) for member in entry.trained for fold in entry.folds
            ),
            "soup": tuple(self.soup(member, entry.folds) for member in entry.soups),
            "predict": (
                *(
                    self.chosen_views(member, entry.folds)
                    for member in (entry.networks if self.chooses_views else ())
                ),
                *(self.predict(*pair) for pair in dict.fromkeys([*networks, *pairs])),
                *means,
            ),
            **({"verdict": (self.verdict(entry),)} if entry.round and judged else {}),
            "ensemble": (self.ensemble(entry),),
            **({} if plain else {"tune": (self.tune(entry),)}),
            "submit": (self.submit(entry, plain=plain),),
            "report": (self.report(entry, plain=plain),),
        }
        names = [name for name, made in steps.items() if made]
        if not self.project.has_test_part:
            names.remove("submit")
            goal = "tune" if goal == "submit" else goal
        names = names[: names.index(goal) + 1] if goal in names else []
        ending = {"submit": ("--plain",), "report": ("--plain",)} if plain else {}
        words = {"train": of_trained, "soup": of_trained}
        return [
            Stage(
                (name, *words.get(name, options), *ending.get(name, ())),
                steps[name],
                self._trainings(entry) if name == "train" else (),
            )
            for name in names
        ]

    def _trainings(self, entry: Entry) -> tuple[Stage, ...]:
        """One for each network of the entry."""
        return tuple(
            Stage(
                ("train", *options_of(replace(entry, members=(member,), folds=(fold,)))),
                (self.train(member, fold),),
            )
            for member in entry.trained
            for fold in entry.folds
        )

    def _plain_submission(self, entry: Entry) -> Path:
        return self.workspace.submission(submission_name(entry, plain=True))

    def _training_inputs(self, member: Member, fold: int) -> Inputs:
        recipe = member.adapted(self.project.recipe(member.recipe))
        inputs = {
            "recipe": hash_of(_identity(recipe)),
            "competition": hash_of(
                self._spec("classes", "exclusive", "horizontal_flip", "metric", "data")
            ),
            "images": self._images("train"),
            "labels": self._labels(),
            "fold": self.split(fold),
        }
        if recipe.pretrained and recipe.weights != "hub":
            inputs["weights"] = _sha256_of_weights(recipe.weights)
        if self.project.competition.turns:
            inputs["turns"] = hash_of(self.project.competition.turns)
        if member.pseudo:
            inputs |= self._round_learnt(self.workspace.pseudo(member.pseudo))
        if self.project.competition.data.extra_images is not None:
            allowed = hash_of(list(self.project.extra_images(fold)))
            inputs["extra images"] = hash_of([allowed, self._images("extra")])
        if member.continued:
            parent = self.workspace.run(member.continued, fold) / "checkpoint.pt"
            if not parent.is_file():
                raise InputFault(
                    f"{member.continued!r} is not trained on fold {fold} ({parent} is not there); "
                    "train it first"
                )
            inputs["continued"] = _file(parent, "train")
        return inputs

    def _round_learnt(self, folder: Path) -> Inputs:
        """What a student learns from a round."""
        learnt = {"pseudo": _file(folder / "labels.csv", "pseudo")}
        receipt = read_round(folder, self.project.competition)
        if receipt.soft_sha256 is not None:
            learnt["pseudo soft targets"] = receipt.soft_sha256
        if receipt.settings.batch_share:
            learnt["pseudo share of a batch"] = hash_of(receipt.settings.batch_share)
        return learnt

    def split(self, fold: int) -> str:
        """Hash of which images are trained on and which are held out."""
        held = self.project.validation_images(fold)
        return hash_of([sorted(self.project.folds["image"]), sorted(held)])

    def _decision_inputs(self, entry: Entry) -> Inputs:
        stores = {
            f"predictions {member} fold {fold}": _file(
                self.workspace.run(str(member), fold) / "oof" / "store.json", "predict"
            )
            for member in entry.members
            for fold in entry.folds
        }
        rules = hash_of(self._spec("classes", "exclusive", "metric", "objects"))
        return {
            "labels": self._labels(),
            "folds": _file(self.workspace.folds, "folds"),
            **stores,
            "competition": rules,
        }

    def _images(self, split: str) -> str:
        data, paths = self.project.competition.data, self.project.rows(split)["path"]
        files = set(map(file_of, all_pixel_files(paths, data)))
        return self.contents.of(self.project.competition.root, files)

    def _pixels(self) -> Inputs:
        """What is kept of the images, where that is more than three channels of 8 bits; the depth
        counts in the training alone, as it did.
        """
        kept = self.project.competition.data.pixels.model_copy(update={"depth": None}).chosen()
        return {"pixels": hash_of(kept)} if kept else {}

    def _labels(self) -> str:
        competition = self.project.competition
        files = label_files(competition, self.project.catalog)
        paths = [path.relative_to(competition.root).as_posix() for path in files]
        return hash_of([self._spec("labels"), self.contents.of(competition.root, paths)])

    def _spec(self, *sections: str) -> dict:
        """Sections of the spec; of the extra images what they are counts, not how they are named,
        unlabelled ones count in rounds alone, and what was looked at changes nothing.
        """
        return self.project.competition.model_dump(
            mode="json", include=set(sections), exclude=self._unset()
        )

    def _unset(self) -> dict[str, set[str]]:
        """Keys that came after 0.1.0 and are not set: receipts of before knew nothing of them."""
        competition = self.project.competition
        found = {"data": {"extra_images", "unlabelled_images", "look_alikes"}, "labels": set()}
        for section, table in (("data", competition.data), ("labels", competition.labels)):
            fields, kind = type(table).model_fields, getattr(table, "kind", "")
            found[section] |= {
                key
                for key in fields
                if {key, f"{kind}.{key}"} & _LATER_KEYS
                and getattr(table, key) == fields[key].get_default(call_default_factory=True)
            }
        return found


def _identity(recipe: Recipe) -> list[Any]:
    """What decides a training; `about` is a description."""
    chosen = recipe.chosen()
    del chosen["about"]
    return [DEFAULTS, chosen]


def _sha256_of_weights(named: str) -> str:
    """Of the file that a recipe starts from; where it is gone, a new training alone needs it."""
    try:
        return file_sha256(weights_file(named))
    except InputFault as fault:
        return str(fault)


def submission_name(entry: Entry, *, plain: bool) -> str:
    return entry.name + ("-plain" if plain else "")


def teacher_entry(entry: Entry) -> TeacherEntry:
    """As a round writes it down."""
    first = entry.members[0]
    return TeacherEntry(
        recipes=tuple(dict.fromkeys(member.recipe for member in entry.members)),
        seeds=tuple(dict.fromkeys(member.seed for member in entry.trained)),
        folds=entry.folds,
        pretrained=first.pretrained,
        pseudo=first.pseudo,
    )


def options_of(entry: Entry) -> tuple[str, ...]:
    """The command-line options that name this entry in full."""
    words: list[str] = []
    for recipe in dict.fromkeys(member.recipe for member in entry.members):
        words += ["--recipe", recipe]
    for fold in entry.folds:
        words += ["--fold", str(fold)]
    for seed in dict.fromkeys(member.seed for member in entry.trained):
        words += ["--seed", str(seed)]
    words += ["--soup"] if entry.soups else []
    words += [] if entry.members[0].pretrained else ["--no-pretrained"]
    continued = entry.members[0].continued
    words += [] if continued is None else ["--continue-from", continued]
    return (*words, "--pseudo", entry.members[0].pseudo or NO_ROUND)


def states(stages: list[Stage]) -> list[tuple[Step, State]]:
    """Each step once, in order, with its state: judged by what lies on the disk now."""
    found: dict[str, tuple[Step, State]] = {}
    for stage in stages:
        for step in stage.steps:
            found.setdefault(step.name, (step, step.state()))
    return list(found.values())


def states_text(found: list[tuple[Step, State]], running: Mapping[str, str] | None = None) -> str:
    """One line a step: its state in words, and what has to be done before it.

    running: the steps that are being done at the moment, by name, with who does them.
    """
    running = running or {}
    undone = {step.name for step, state in found if state.kind != "fresh"}
    width = max(len(step.name) for step, _ in found)
    lines = []
    for step, state in found:
        first = next((name for name in step.after if name in undone), None)
        now = f"running: {running[step.name]}" if step.name in running else state.text(after=first)
        lines.append(f"{step.name:<{width}}  {now}")
    return "\n".join(lines)


def states_document(
    found: list[tuple[Step, State]], running: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The same for programs; kind: fresh, stale or missing; running: who does it, or null."""
    return [
        {
            "step": step.name,
            "kind": state.kind,
            "why": state.why,
            "after": list(step.after),
            "running": running.get(step.name),
        }
        for step, state in found
    ]


def _file(path: Path, command: str) -> str:
    """command: makes the file, or says what is wrong with it."""
    if not path.is_file():
        raise InputFault(f"{path} is not there yet; `python -m competition {command}` first")
    return file_sha256(path)

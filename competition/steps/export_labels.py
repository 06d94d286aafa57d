"""Labels as files for other programs: of a pseudo round, of a submission, or the competition's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from competition.data.catalog import sizes_of, with_labels
from competition.data.label_export import EXPORT_KINDS, write_label_files
from competition.data.pixel_labels import PixelLabels
from competition.errors import InputFault, nearest
from competition.masks import Runs
from competition.new.file_text import toml_item
from competition.project import Project
from competition.pseudo.rounds import from_csv, load_labels_of, read_round
from competition.settings import Settings
from competition.workspace import file_sha256, write_json


class ExportSource(NamedTuple):
    """Whose labels: those that the student of a fold learns from a round, or the masks of a submission;
    where neither is named, the competition's own.
    """

    round_name: str | None = None
    fold: int | None = None
    csv: Path | None = None


class _Found(NamedTuple):
    """labels: of each image; what: where they are from; file: the csv that they are in, if one; unsaid:
    what of them label files have no word for.
    """

    labels: Mapping[str, PixelLabels]
    what: str
    file: Path | None
    unsaid: list[str]


def export_label_files(
    project: Project, source: ExportSource, folder: Path, kind: str, *, with_images: bool = False
) -> str:
    """Write labels into a new folder, as `write_label_files` does; what was written and how it is read.

    Beside the folder lies its receipt. InputFault for an unknown kind, and for a round of several
    teachers without the fold whose student's labels are meant.
    """
    if kind not in EXPORT_KINDS:
        expected = nearest(kind, EXPORT_KINDS, all_by="--help")
        raise InputFault(f"--kind {kind}: no such kind of label files; {expected}")
    found = _labels_from(project, source)
    rows = project.everything
    rows = rows[rows["image"].isin(set(found.labels))].reset_index(drop=True)
    options = write_label_files(
        project.competition, rows, found.labels, folder, kind, with_images=with_images
    )
    if project.competition.submission.rows == "object":
        found.unsaid.append("which pixels are one object: those of a class are one mask")
    masks = sum(int((one.classes.area() > 0).sum()) for one in found.labels.values())
    table = _table(options)
    write_json(
        folder.with_name(f"{folder.name}.receipt.json"),
        {
            "labels of": found.what,
            "sha256": None if found.file is None else file_sha256(found.file),
            "images": len(rows),
            "masks": masks,
            "labels": options.chosen(),
            "not written": found.unsaid,
        },
    )
    lines = [
        f"wrote {folder}: {masks} masks in {len(rows)} images, {found.what}; read back and equal to "
        "what was meant",
        *(f"not in these files: {one}" for one in found.unsaid),
        f"a competition file reads them from the root {folder} by",
        *table,
    ]
    return "\n".join(lines)


def _labels_from(project: Project, source: ExportSource) -> _Found:
    if source.round_name is not None and source.csv is not None:
        raise InputFault("--round and --csv both say whose labels; give one of them")
    if source.round_name is None and source.fold is not None:
        raise InputFault("--fold is about the teachers of a round: name the round by --round")
    if source.round_name is not None:
        return _of_round(project, source.round_name, source.fold)
    return _own(project) if source.csv is None else _of_csv(project, source.csv)


def _own(project: Project) -> _Found:
    images = with_labels(project.everything)["image"]
    labels = {one: PixelLabels(project.labels[one], project.ignored[one]) for one in images}
    several = len(project.labels.annotators)
    unsaid = [f"masks of several annotators, which {several} images have"] if several else []
    return _Found(labels, "the competition's own labels", None, unsaid)


def _of_csv(project: Project, path: Path) -> _Found:
    sizes = sizes_of(project.everything)
    made = from_csv(project.competition, [path], sizes, teacher=path.name)
    labels = {one.image: PixelLabels.of(one.masks) for one in made}
    asked = project.competition.submission.size
    unsaid = []
    if asked is not None:
        unsaid.append(
            f"masks of {asked[0]} × {asked[1]} pixels, as {path.name} has them: they are enlarged "
            "to their images"
        )
    return _Found(labels, f"the masks of {path}", path, unsaid)


def _of_round(project: Project, name: str, fold: int | None) -> _Found:
    folder = project.workspace.pseudo(name)
    receipt = read_round(folder, project.competition)
    if fold is None and len(receipt.images) > 1:
        raise InputFault(
            f"{name} has the teachers {', '.join(receipt.images)}, and label files have one mask: say "
            "by --fold whose student's labels are meant"
        )
    teacher = next(iter(receipt.images)) if fold is None else receipt.teacher_of(fold)
    found = load_labels_of(folder, project.competition, sizes_of(project.everything), teacher)
    labels, pixels, images = {}, 0, 0
    for image, masks in found.masks.items():
        ignored = found.ignored[image]
        everywhere = Runs.stack([~(~ignored).any_mask()])
        labels[image] = PixelLabels.of(masks, everywhere)
        lost = int(ignored.without(everywhere).area().sum())
        pixels, images = pixels + lost, images + (lost > 0)
    unsaid = ["confidence and teacher"]
    if pixels:
        unsaid.append(
            f"pixels that some classes ignore and others don't: {pixels:,} in {images} images (a pixel "
            "counts as often as a class ignores it); the files say that these classes are absent there"
        )
    return _Found(labels, f"{name}, teacher {teacher}", folder / "labels.csv", unsaid)


def _table(options: Settings) -> list[str]:
    """`[labels]` as a competition file has it."""
    items = options.chosen().items()
    return ["[labels]", *(f"{key} = {toml_item(value).as_string()}" for key, value in items)]

"""The pictures of a report: an image with the masks of two sides, whose classes can be switched."""

from collections.abc import Collection, Mapping

from competition.decoding.decisions import decide
from competition.inference.store import Store
from competition.masks import Runs
from competition.masks.geometry import resize_nearest
from competition.pictures import fitted, glowing, jpeg_bytes, outlined_image
from competition.pseudo.rounds import RoundReceipt, load_labels_of
from competition.report import ReportPanel, ReportPicture
from competition.steps.contact_sheets import disagreement_picture
from competition.steps.report_evidence import EntryEvidence

_LONGEST = 512
"""The longest side of a picture, in pixels."""
WORST, AUDITED, DISPUTED_SHOWN, AGAINST, OF_ROUND = 12, 12, 8, 6, 6
"""Pictures in each section: with 1,000 images as with 50 the report stays small enough for a mail."""


def labels_and_masks(
    seen: EntryEvidence, image: str, note: str, *, only: Collection[int] | None = None
) -> ReportPicture:
    """Labels beside decided masks out of fold; only: the classes that are shown, all unless
    given.
    """
    project = seen.project
    shown = outlined_image(
        project.pixels(image),
        project.labels[image],
        decide(seen.together, image, seen.decoder.rules),
        longest=_LONGEST,
        ignored=project.ignored[image],
    )
    truth, masks = _only(shown.truth, only), _only(shown.prediction, only)
    panels = [
        ReportPanel("labels", truth, {}, shown.ignored),
        ReportPanel("out of fold; labels dashed", masks, truth, shown.ignored),
    ]
    return ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels)


def round_pictures(seen: EntryEvidence, name: str, receipt: RoundReceipt) -> list[ReportPicture]:
    """Some images of the first teacher, evenly spread; beside them the answers where they are
    known, else what does not count.
    """
    project, answers = seen.project, seen.answers
    labels = load_labels_of(
        project.workspace.pseudo(name),
        project.competition,
        project.sizes,
        next(iter(receipt.images)),
    )
    images = list(labels.masks)
    pictures = []
    for image in images[:: -(-len(images) // OF_ROUND)]:
        masks, unsure = (
            labels.masks[image],
            for_each_class(labels.ignored[image], labels.masks[image]),
        )
        whole = unsure.area() == masks.plane
        out = [label for label, left in zip(project.classes, whole, strict=True) if left]
        known = answers.get(image)
        known = known if known is not None and known.shape == masks.shape else None
        beside = unsure.only(~whole) if known is None else known
        shown = outlined_image(project.pixels(image), masks, beside, longest=_LONGEST)
        second = (
            ReportPanel("dashed: what does not count", {}, shown.prediction)
            if known is None
            else ReportPanel("the answer; labels dashed", shown.prediction, shown.truth)
        )
        panels = [ReportPanel("labels of the round", shown.truth, {}), second]
        note = f"do not count here: {', '.join(out)}" if out else ""
        pictures.append(ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels))
    return pictures


def two_masks(
    seen: EntryEvidence, image: str, note: str, ours: Runs, theirs: Runs
) -> ReportPicture:
    pixels = seen.project.pixels(image)
    size = pixels.shape[:2]
    native = [
        one if (one.height, one.width) == size else resize_nearest(one, size)
        for one in (ours, theirs)
    ]
    shown = outlined_image(pixels, *native, longest=_LONGEST)
    panels = [
        ReportPanel("A: this one", shown.truth, {}),
        ReportPanel("B: the other; A dashed", shown.prediction, shown.truth),
    ]
    return ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels)


def disputed_pictures(
    seen: EntryEvidence, shares: Mapping[str, float], readers: Mapping[str, Store]
) -> list[ReportPicture]:
    """The test images with the largest shares: their masks, and where they are disputed."""
    together, pictures = seen.decoder.mix(readers), []
    for image in sorted(shares, key=lambda one: -shares[one])[:DISPUTED_SHOWN]:
        pixels = seen.project.pixels(image)
        size = fitted(pixels.shape[:2], _LONGEST)
        masks = decide(together, image, seen.decoder.rules)
        shown = outlined_image(pixels, None, masks, longest=_LONGEST)
        where = disagreement_picture(readers, image, size)
        lit = jpeg_bytes(glowing(pixels, where, size=size), size)
        panels = [
            ReportPanel("masks", shown.prediction, {}),
            ReportPanel("red where folds and views disagree", {}, {}, jpeg=lit),
        ]
        note = f"{shares[image]:.1%} of its pixels"
        pictures.append(ReportPicture(image, note, shown.size, shown.view_box, shown.jpeg, panels))
    return pictures


def for_each_class(ignored: Runs, masks: Runs) -> Runs:
    """What does not count (K, H, W), of exclusive classes too, which have it in one: (1, H, W)."""
    one = ignored.classes == 1 != masks.classes
    return ignored.select([0] * masks.classes) if one else ignored


def _only(paths: Mapping[int, str], kept: Collection[int] | None) -> Mapping[int, str]:
    return paths if kept is None else {k: path for k, path in paths.items() if k in kept}

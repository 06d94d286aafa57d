"""How label texts count pixels, proven on the data: Dice is blind to it, and a transposed decode
passes every round trip and every cross-validation."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from competition.data.bands import read_pixels
from competition.data.catalog import with_labels
from competition.data.labels import read_labels
from competition.data.readers.rle import LabelRows, label_rows
from competition.doctor.report import Report
from competition.errors import InputFault
from competition.masks import RleFormat, Runs
from competition.masks.rle_order_proof import OrderProof, prove_order
from competition.spec import Competition, MaskLabels, RleLabels

_TEXTS = 300
"""Texts that are read in every way; the mask images, where there are any, are compared all."""

_IMAGES = 60
"""Images whose edges are compared with outlines: enough to tell on nuclei and on salt."""


def check_order(competition: Competition, catalog: pd.DataFrame) -> Report:
    """`order`, `base` and `relative` of run-length labels against all the data tell.

    That is the mask images which `[labels] masks` names, the numbers, the frame, compactness and
    the edges of the images. Works on labels that cannot be read too: that is when it helps most.
    """
    options = competition.labels
    images = with_labels(catalog)
    if not isinstance(options, RleLabels):
        order = competition.submission.order
        if any("order in [submission]" in question for question in competition.questions):
            return Report.fact("order", "open: these labels are no texts, and nothing proves it")
        return Report.fact(
            "order",
            f"{order}, as [submission] says: these labels are no texts, and nothing proves it; compare "
            "it with the organisers' rules",
        )
    try:
        rows = _rows_of(competition, images)
    except InputFault:
        return Report()  # the label check says what is wrong, and which rows are of no image
    try:
        pictured = _pictured(competition, catalog, options.masks) if options.masks else {}
    except InputFault as fault:
        return Report.error("labels", f"masks in [labels]: {fault}")
    if not any(" " in text.strip() for text in rows.texts):
        return Report.warning(
            "labels", f"{rows.path} has no mask with pixels: nothing can be learnt"
        )
    form = competition.label_format
    proof = _proof(competition, images, rows, pictured if form.rows != "object" else {})
    report = _judged(form, proof)
    return report if report.errors else report + _check_equal(competition, rows, images, pictured)


def order_proof(competition: Competition, catalog: pd.DataFrame) -> OrderProof:
    """All that the data tell of how label texts count pixels, whatever the competition file says."""
    options, images = competition.labels, with_labels(catalog)
    assert isinstance(options, RleLabels)
    rows = _rows_of(competition, images)
    pictured = _pictured(competition, catalog, options.masks) if options.masks else {}
    return _proof(competition, images, rows, pictured if options.rows != "object" else {})


def check_texts(competition: Competition, images: pd.DataFrame, rows: LabelRows) -> Report:
    """The same for masks that a submission holds; images: rows of the catalog that it names.

    There are no mask images to compare with: frame, compactness and edges must tell.
    """
    if not any(" " in text.strip() for text in rows.texts):
        return Report()
    return _judged(competition.submission.format, _proof(competition, images, rows, {}))


def _rows_of(competition: Competition, images: pd.DataFrame) -> LabelRows:
    """The label rows of these images."""
    rows, there = label_rows(competition), set(images["image"])
    return _chosen(rows, [i for i, (image, _) in enumerate(rows.keys) if image in there])


def _chosen(rows: LabelRows, kept: Sequence[int]) -> LabelRows:
    return LabelRows(
        rows.path,
        tuple(rows.lines[i] for i in kept),
        tuple(rows.keys[i] for i in kept),
        tuple(rows.texts[i] for i in kept),
    )


def _pictured(competition: Competition, catalog: pd.DataFrame, files: str) -> Mapping[str, Runs]:
    """Runs (K, H, W) of the mask images that hold the same labels."""
    one_class = len(competition.classes) == 1 or "{class}" in files
    values = "nonzero" if one_class else "index"
    masks = MaskLabels(kind="masks", files=files, values=values, positives_only="*" in files)
    return read_labels(competition.model_copy(update={"labels": masks}), catalog)


def _proof(
    competition: Competition,
    images: pd.DataFrame,
    rows: LabelRows,
    pictured: Mapping[str, Runs],
) -> OrderProof:
    """pictured: the mask images of the same rows; none where a row is an object, a part of its own."""
    known = images.set_index("image")
    filled = [i for i, text in enumerate(rows.texts) if " " in text.strip()]
    rows = _chosen(rows, filled[:: -(-len(filled) // _TEXTS) or 1])
    keys = dict.fromkeys(image for image, _ in rows.keys)
    looked_at = [] if pictured else list(keys)[:: -(-len(keys) // _IMAGES) or 1]
    pixels = {image: _pixels(competition, known["path"][image]) for image in looked_at}
    sizes = known.loc[[image for image, _ in rows.keys], ["height", "width"]].values.tolist()
    return prove_order(
        rows.texts,
        [(height, width) for height, width in sizes],
        masks=_class_masks(competition.classes, rows, pictured) if pictured else None,
        images=[pixels.get(image) for image, _ in rows.keys],
    )


def _pixels(competition: Competition, path: str) -> np.ndarray | None:
    """The image, None where it is damaged, which is another check's to say."""
    try:
        return read_pixels(competition.root, path, competition.data)
    except InputFault:
        return None


def _class_masks(
    classes: Sequence[str], rows: LabelRows, pictured: Mapping[str, Runs]
) -> list[Runs | None]:
    return [
        pictured[image][classes.index(name)] if name in classes else None
        for image, name in rows.keys
    ]


def _judged(form: RleFormat, proof: OrderProof) -> Report:
    """An error where the data surely speak against the format, a warning where they may."""
    report = Report()
    for field, line in proof.contradictions(form).items():
        sure = proof.findings[field].is_sure
        report += Report.error("order", line) if sure else Report.warning("order", line)
    if proof.order is None:
        return report + Report.warning(
            "order",
            f"nothing in the data tells whether label texts run along rows or columns "
            f"({'; '.join(proof.evidence)})",
        )
    return report + Report.fact("order", f"{proof.order}, {proof.findings['order'].reason}")


def _check_equal(
    competition: Competition, rows: LabelRows, images: pd.DataFrame, pictured: Mapping[str, Runs]
) -> Report:
    """Texts in the right order against their mask images, one by one."""
    if not pictured:
        return Report()
    try:
        labels = read_labels(competition, images)
    except InputFault:
        return Report()  # the label check lists what is wrong
    unequal = [
        image
        for image, mask in pictured.items()
        if labels[image] != mask.without(labels.ignored[image])
    ]
    if not unequal:
        return Report()
    return Report.error(
        "labels",
        f"{rows.path}: the masks of {len(unequal)} of {len(pictured)} images differ from their mask "
        f"images, such as {unequal[0]!r}",
    )

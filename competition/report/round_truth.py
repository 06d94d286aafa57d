"""How right the labels of a pseudo round and their confidence are, where the answers are known."""

import numpy as np
import pandas as pd

from competition.report.page import ReportTable


def truth_tables(found: pd.DataFrame) -> tuple[list[ReportTable], list[str]]:
    """By class, and by confidence; found: a row a label, with its Dice against the answer."""
    by_class = found.groupby("class", sort=False).agg(
        pairs=("dice", "size"), dice=("dice", "mean"), confidence=("confidence", "mean")
    )
    rows = [
        [str(name), str(int(one.pairs)), f"{one.dice:.4f}", _or_nothing(one.confidence)]
        for name, one in by_class.sort_values("dice").iterrows()
    ]
    tables = [
        ReportTable(
            ("class", "labels", "Dice with the answer", "mean confidence"),
            rows,
            "How right the labels are, pixels that do not count left out:",
        )
    ]
    said = [
        f"The answers are there: {len(found)} labels of the round reach a mean Dice of "
        f"{found['dice'].mean():.4f} with them."
    ]
    known = found.dropna(subset=["confidence"])
    if known["confidence"].nunique() > 1:
        order = known["confidence"].rank().corr(known["dice"].rank())
        said.append(
            f"Confidence and Dice go together with a rank correlation of {order:.2f} (1: the surest "
            "are the most right; 0: confidence says nothing)."
        )
        fifths = pd.qcut(known["confidence"].rank(method="first"), min(5, len(known)), labels=False)
        rows = [
            [
                f"{one['confidence'].min():.3f} to {one['confidence'].max():.3f}",
                str(len(one)),
                f"{one['dice'].mean():.4f}",
            ]
            for _, one in known.groupby(fifths)
        ]
        caption = "How right the confidence is, by fifths of the labels:"
        tables.append(ReportTable(("confidence", "labels", "Dice with the answer"), rows, caption))
    return tables, said


def _or_nothing(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.4f}"

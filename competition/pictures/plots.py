"""Plots of scores: what was measured, on how many images, and how sure it is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from competition.decoding.decisions import StepReport
from competition.pictures.overlays import class_colours
from competition.workspace import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = dict[str, Any]
_OUTSIDE: Style = {
    "fontsize": 7,
    "frameon": False,
    "loc": "upper left",
    "bbox_to_anchor": (1, 1),
}
_BLUE, _GREY, _INK = "#2f6fbf", "#9a9da3", "#202124"
_ON_LIGHT, _ON_DARK = "#1c2733", "#fefefe"
"""Ink on cells that have a colour: it stays as it is where a page turns ink and paper around."""


class TrainingCurve(NamedTuple):
    """Of one network, by round: float64 (N,) epoch, training loss, and score, NaN where it was not
    validated.
    """

    epochs: np.ndarray
    losses: np.ndarray
    scores: np.ndarray


def threshold_curves(
    path: Path,
    thresholds: Sequence[float],
    scores: np.ndarray,
    *,
    names: Sequence[str],
    chosen: Sequence[float] | np.ndarray,
    title: str = "",
) -> None:
    """Plot the score of each class over its threshold, (K, T), with the chosen one as a dot."""
    figure, axes = _axes(7.5, 4.6, title)
    colours = class_colours(len(names)) / 255
    for k, name in enumerate(names):
        axes.plot(thresholds, scores[k], color=colours[k], linewidth=1.3, label=name)
        at = np.interp(chosen[k], thresholds, scores[k])
        axes.plot(chosen[k], at, "o", color=colours[k], markersize=4.5)
    axes.axvline(0.5, color="0.75", linewidth=0.8, zorder=0)
    axes.set(xlabel="threshold (probability)", ylabel="score out of fold")
    _legend(axes, len(names))
    _save(figure, path)


def bars(
    path: Path,
    names: Sequence[str],
    values: Sequence[float],
    *,
    intervals: Sequence[tuple[float, float]] | None = None,
    label: str = "score",
) -> None:
    """Plot one horizontal bar a name, the first on top, with its interval (low, high)."""
    figure, axes = _axes(7.0, 0.9 + 0.28 * len(names))
    places = _rows(axes, names, label)
    axes.barh(places, values, height=0.62, color="#4d8fd6")
    if intervals is not None:
        low, high = np.array(intervals, float).T
        spread = np.abs(np.stack([values - low, high - values]))
        axes.errorbar(values, places, xerr=spread, fmt="none", ecolor="#202124", elinewidth=1)
    _save(figure, path)


def differences(
    path: Path,
    names: Sequence[str],
    gains: Sequence[tuple[float, float, float]],
    *,
    published: Sequence[float | None],
    label: str,
) -> None:
    """Plot one difference a name, (gain, low, high), over a line at 0, the first name on top.

    published: the sources' own differences, hollow; None where there is none.
    """
    figure, axes = _axes(7.0, 1.1 + 0.3 * len(names))
    places = _rows(axes, names, label)
    values, low, high = np.array(gains, float).reshape(-1, 3).T
    spread = np.nan_to_num(np.abs(np.stack([values - low, high - values])))
    axes.axvline(0, color="0.4", linewidth=0.8, zorder=0)
    ours: Style = {"label": "here, with 95 % interval", "color": _BLUE, "elinewidth": 1.2}
    axes.errorbar(values, places, xerr=spread, fmt="o", markersize=4.5, **ours)
    theirs = np.array([np.nan if value is None else value for value in published], float)
    if not np.isnan(theirs).all():
        hollow: Style = {"label": "published, on other data", "markerfacecolor": "none"}
        axes.plot(theirs, places, "D", color="#b3552f", markersize=5, **hollow)
    axes.legend(fontsize=7, frameon=False, loc="best")
    _save(figure, path)


def gains(path: Path, steps: Sequence[StepReport], *, title: str) -> None:
    """Plot the cross-fitted gain of each step with its interval, beside its apparent gain."""
    figure, axes = _axes(7.0, 1.3 + 0.34 * len(steps), title)
    for place, step in zip(
        _rows(axes, [s.name for s in steps], "gain in score"), steps, strict=True
    ):
        colour = _BLUE if step.adopted else _GREY
        axes.plot([step.low, step.high], [place, place], color=colour, linewidth=2)
        fill = colour if step.adopted else "white"
        axes.plot(step.gain, place, "o", color=colour, markerfacecolor=fill, markersize=6)
        axes.plot(step.apparent_gain, place, "x", color=_INK, markersize=5)
    axes.axvline(0, color=_INK, linewidth=0.8)
    marks = [
        _mark("o", _BLUE, _BLUE, "cross-fitted, 95 %, kept"),
        _mark("o", _GREY, "white", "cross-fitted, 95 %, not kept"),
        _mark("x", _INK, _INK, "apparent"),
    ]
    axes.legend(handles=marks, **_OUTSIDE)
    _save(figure, path)


def class_scores(
    path: Path,
    names: Sequence[str],
    before: Sequence[float] | np.ndarray,
    after: Sequence[float] | np.ndarray,
    *,
    intervals: np.ndarray,
    title: str,
) -> None:
    """Plot each class's score before and after the decisions, (K,), with intervals (K, 2) of after.

    A class that is never counted (NaN) keeps its row, empty.
    """
    figure, axes = _axes(7.0, 1.3 + 0.25 * len(names), title)
    places = _rows(axes, names, "score out of fold")
    axes.hlines(places, intervals[:, 0], intervals[:, 1], color=_BLUE, linewidth=1.6)
    hollow: Style = {"color": _GREY, "markerfacecolor": "white", "label": "threshold 0.5"}
    axes.plot(before, places, "o", markersize=5, **hollow)
    axes.plot(after, places, "o", color=_BLUE, markersize=5, label="as decided, nested CV, 95 %")
    axes.legend(**_OUTSIDE)
    _save(figure, path)


def reliability(
    path: Path,
    predicted: np.ndarray,
    observed: np.ndarray,
    *,
    intervals: np.ndarray,
    counts: np.ndarray,
    title: str,
) -> None:
    """Plot the labelled share of pixels over their predicted probability, by bins (B,).

    intervals (B, 2) of observed; counts (B,): pixels in each bin, below as bars on a log scale.
    """
    figure, (axes, below) = _stacked(5.2, 5.6)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.9, linestyle="--", label="calibrated")
    spread = np.abs(intervals.T - observed)
    ours: Style = {"label": "all classes, 95 %", "color": _BLUE, "linewidth": 1.2, "elinewidth": 1}
    axes.errorbar(predicted, observed, yerr=spread, fmt="o-", markersize=4, **ours)
    axes.set(ylabel="labelled share of pixels", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title(title, fontsize=9, loc="left")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    known = counts > 0
    below.bar(predicted[known], counts[known], width=0.6 / len(counts), color=_GREY)
    below.set(yscale="log", ylabel="pixels", xlabel="predicted probability")
    _save(figure, path)


def tradeoffs(
    path: Path,
    curves: np.ndarray,
    *,
    names: Sequence[str],
    chosen: np.ndarray,
    areas: np.ndarray,
    title: str,
) -> None:
    """Plot precision over recall and recall over false-positive rate, the chosen threshold as a dot.

    curves: (3, K, T) precision, recall and false-positive rate at each threshold; chosen: (3, K);
    areas: (2, K) under the two curves, which stand behind the names.
    """
    figure, (left, right) = _beside(11.0, 4.4)
    colours = class_colours(len(names)) / 255
    for k, name in enumerate(names):
        precision, recall, false = curves[:, k]
        left.plot(recall, precision, color=colours[k], linewidth=1.3)
        shown = ", ".join("–" if np.isnan(area) else f"{area:.3f}" for area in areas[:, k])
        label = f"{name}  {shown}"
        right.plot(false, recall, color=colours[k], linewidth=1.3, label=label)
        left.plot(chosen[1, k], chosen[0, k], "o", color=colours[k], markersize=5)
        right.plot(chosen[2, k], chosen[1, k], "o", color=colours[k], markersize=5)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    right.set(xlabel="false-positive rate (log scale)", ylabel="recall", ylim=(0, 1.01))
    right.set(xscale="log", xlim=(1e-6, 1))
    left.set_title(title, fontsize=9, loc="left")
    _legend(right, len(names), title="areas under PR, ROC")
    _save(figure, path)


def confusion(path: Path, pixels: np.ndarray, *, names: Sequence[str], title: str) -> None:
    """Plot which share of the pixels labelled as a row says are predicted as each column does.

    pixels: (C, C) counts; the names of both sides, C of them. A row without a pixel stays empty.
    """
    count = len(names)
    figure, axes = _axes(2.6 + 0.32 * count, 1.9 + 0.32 * count, title)
    labelled = pixels.sum(axis=1, keepdims=True)
    shares = np.where(labelled > 0, pixels / np.maximum(labelled, 1), np.nan)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.0005:  # NaN is not
            ink: Style = {"color": _ON_DARK if share > 0.6 else _ON_LIGHT, "fontsize": 6}
            axes.text(column, row, f"{100 * share:.1f}", ha="center", va="center", **ink)
    axes.set_xticks(range(count), names, rotation=90, fontsize=7)
    axes.set_yticks(range(count), names, fontsize=7)
    axes.set(xlabel="predicted", ylabel="labelled: % of its pixels")
    _save(figure, path)


def history_curves(path: Path, rows: Sequence[Mapping[str, float | str]], *, title: str) -> None:
    """Plot a training's history over its steps: loss, score out of fold, learning rate.

    rows: of history.csv. A thin line is a class; a score that was never counted (NaN) is left out.
    """
    figure = _figure(7.0, 6.0)
    loss, score, rate = (_tidied(axes) for axes in figure.subplots(3, 1, sharex=True))
    loss.set_title(title, fontsize=9, loc="left")
    loss.plot(*_over_steps(rows, "train_loss"), color=_BLUE, linewidth=1.3)
    loss.set(ylabel="training loss")
    for name in dict.fromkeys(name for row in rows for name in row if name.startswith("score[")):
        score.plot(*_over_steps(rows, name), color=_GREY, linewidth=0.6, alpha=0.6)
    lines = {"score": (_BLUE, "all classes"), "score_aside": ("#b3552f", "on groups set aside")}
    for name, (colour, label) in lines.items():
        steps, values = _over_steps(rows, name)
        if steps:
            score.plot(steps, values, "o-", color=colour, linewidth=1.3, markersize=3, label=label)
            score.legend(fontsize=7, frameon=False, loc="best")
    score.set(ylabel="score of validation")
    rate.plot(*_over_steps(rows, "learning_rate"), color=_INK, linewidth=1)
    rate.set(xlabel="step", ylabel="learning rate")
    _save(figure, path)


def _over_steps(
    rows: Sequence[Mapping[str, float | str]], name: str
) -> tuple[list[float], list[float]]:
    """Steps and values of a column, without rows that have no value in it."""
    found = [(float(row["step"]), float(row[name])) for row in rows if name in row]
    known = [(step, value) for step, value in found if not np.isnan(value)]
    return [step for step, _ in known], [value for _, value in known]


def training_curves(path: Path, curves: Mapping[str, TrainingCurve]) -> None:
    """Plot the validation score and, below it, the training loss of each network, by its name."""
    figure, (axes, below) = _stacked(8.0, 4.8)
    colours = class_colours(len(curves)) / 255
    for colour, (name, curve) in zip(colours, curves.items(), strict=True):
        line: Style = {"color": colour, "linewidth": 1.3, "markersize": 3.5}
        scored = ~np.isnan(curve.scores)
        axes.plot(curve.epochs[scored], curve.scores[scored], "o-", label=name, **line)
        below.plot(curve.epochs, curve.losses, "o-" if len(curve.epochs) == 1 else "-", **line)
    axes.set(ylabel="validation score")
    below.set(ylabel="training loss", xlabel="epoch")
    _legend(axes, len(curves))
    _save(figure, path)


def distribution(path: Path, values: np.ndarray, *, label: str, title: str) -> None:
    """Plot how many of some values (N,), from 0 up, lie where: a histogram."""
    figure, axes = _axes(7.0, 2.4, title)
    most = max(float(values.max()), 1e-6)
    axes.hist(values, bins=np.linspace(0, most, 31).tolist(), color="#4d8fd6")
    axes.set(xlabel=label, ylabel="images", xlim=(0, most))
    _save(figure, path)


def _legend(axes: "Axes", entries: int, *, title: str | None = None) -> None:
    """Right of the axes, in as many columns as it takes."""
    place: Style = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)}
    columns = 1 + (entries - 1) // 16
    axes.legend(fontsize=7, frameon=False, ncols=columns, title=title, title_fontsize=7, **place)


def _mark(shape: str, colour: str, fill: str, label: str) -> object:
    from matplotlib.lines import Line2D

    style: Style = {"color": colour, "markerfacecolor": fill, "linestyle": ""}
    return Line2D([], [], marker=shape, label=label, **style)


def _axes(width: float, height: float, title: str = "") -> tuple["Figure", "Axes"]:
    figure = _figure(width, height)
    axes = _tidied(figure.add_subplot())
    axes.set_title(title, fontsize=9, loc="left")
    return figure, axes


def _rows(axes: "Axes", names: Sequence[str], label: str) -> np.ndarray:
    """A row a name, the first on top, over an x axis with this label; the places of the rows."""
    places = np.arange(len(names))
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
    axes.set_xlabel(label)
    return places


def _stacked(width: float, height: float) -> tuple["Figure", tuple["Axes", "Axes"]]:
    """A large plot above a small one, with one x axis."""
    figure = _figure(width, height)
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    upper = figure.add_subplot(grid[0])
    return figure, (_tidied(upper), _tidied(figure.add_subplot(grid[1], sharex=upper)))


def _beside(width: float, height: float) -> tuple["Figure", tuple["Axes", "Axes"]]:
    figure = _figure(width, height)
    return figure, (_tidied(figure.add_subplot(1, 2, 1)), _tidied(figure.add_subplot(1, 2, 2)))


def _figure(width: float, height: float) -> "Figure":
    """A figure of inches without pyplot, whose global state draws to a screen that may not exist."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidied(axes: "Axes") -> "Axes":
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _save(figure: "Figure", path: Path) -> None:
    """As PNG with an SVG beside it; as SVG alone where the path ends so.

    The SVG's text is text and the same figure is the same file: its names are no random ones, and it
    has no date.
    """
    import matplotlib

    if path.suffix == ".png":
        with whole_file(path, "wb") as file:
            figure.savefig(file, format="png", dpi=150)
        figure.set_layout_engine("none")  # is laid out: half of the time that the SVG would take
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": path.stem}
    with matplotlib.rc_context(style), whole_file(path.with_suffix(".svg"), "wb") as file:
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)

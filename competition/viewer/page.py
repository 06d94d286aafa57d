"""The page, which Streamlit runs anew at every click: widgets alone. What they show is in scenes.py."""

import html
from typing import Any

import numpy as np

from competition.errors import InputFault
from competition.marks import MarkKind
from competition.pictures import class_colours
from competition.viewer.scenes import AS_TUNED, Part, Scene, Viewer, neighbour
from competition.viewer.serve import current, widgets

_SAID: dict[MarkKind, str] = {
    "accept": "Accept",
    "reject": "Reject",
    "wrong": "Label is wrong",
    "none": "Take back",
}
_ICONS: dict[MarkKind, str] = {
    "accept": ":material/check:",
    "reject": ":material/close:",
    "wrong": ":material/flag:",
    "none": ":material/undo:",
}
_VALUES = {"out of fold": "score", "test": "disputed", "round": "confidence"}
_ALL = "all classes"


def show(st: Any, viewer: Viewer) -> None:
    """The whole page; st: streamlit."""
    competition = viewer.project.competition
    st.set_page_config(page_title=f"{competition.name} – Podium", layout="wide")
    names = list(viewer.project.classes)
    with st.sidebar:
        part = viewer.part(st.selectbox("Images", list(viewer.parts), key="part"))
        worst = st.toggle("Worst first", True, key="worst")
        group = st.selectbox("Group", ["all groups", *viewer.groups(part)], key="group")
        threshold = _threshold(st, viewer, part)
        labels = part.source == "out of fold" and st.toggle("Labels", True, key="labels")
        masks = st.toggle("Masks", True, key="masks")
        chosen = st.pills("Classes", names, selection_mode="multi", default=names, key="classes")
    with st.spinner("scoring every image"):
        chosen_group = None if group == "all groups" else group
        images = viewer.listed(part, group=chosen_group, worst_first=worst)
        values = viewer.values(part)
    image = _image(st, part, images, {one: values.get(one, np.nan) for one in images})
    scene = viewer.scene(part, image, threshold)
    shown = [names.index(name) for name in chosen]
    left, right = st.columns([3, 1])
    with left:
        st.image(scene.svg(shown, labels=labels, masks=masks), width="stretch")
        if labels:
            st.caption("Dashed: the label. Filled: the prediction.")
    with right:
        _marks(st, viewer, part, image, names)
        st.html(_legend(names, shown, scene))


def _threshold(st: Any, viewer: Viewer, part: Part) -> float | None:
    if part.source == "round":
        st.caption("A round's labels are as they were written; its hatched pixels do not count.")
        return 0.5
    if viewer.decided and st.toggle("As tuned", True, key="decided"):
        return AS_TUNED
    return st.slider("Threshold", 0.02, 0.98, 0.5, 0.02, key="threshold")


def _image(st: Any, part: Part, images: list[str], values: dict[str, float]) -> str:
    """The image that is chosen, and the buttons to the next one and the one before."""
    key = f"image of {part.name}"
    if st.session_state.get(key) not in images:
        st.session_state[key] = images[0]

    def move(step: int) -> None:
        st.session_state[key] = neighbour(images, st.session_state[key], step)

    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(":material/chevron_left:", key="back", on_click=move, args=(-1,), help="Previous")
        st.button(":material/chevron_right:", key="on", on_click=move, args=(1,), help="Next")
        value = _VALUES[part.source]
        return st.selectbox(
            f"Image, {len(images)} by {value}",
            images,
            key=key,
            format_func=lambda one: f"{one} · {value} {values[one]:.3f}",
        )


def _legend(names: list[str], shown: list[int], scene: Scene) -> str:
    """Colour, name and value of each class that is shown."""
    colours = class_colours(len(names)).tolist()
    parts = [_entry(names[k], colours[k], _value(scene, k)) for k in shown]
    style = "display:flex;flex-wrap:wrap;gap:.25rem 1rem;font-size:.85rem;line-height:1.4"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _entry(name: str, colour: list[int], value: str) -> str:
    red, green, blue = colour
    box = (
        "display:inline-block;width:.75em;height:.75em;border-radius:.2em;margin-right:.35em;"
        f"background:rgb({red},{green},{blue})"
    )
    return f'<span><span style="{box}"></span>{html.escape(name)} {value}</span>'


def _value(scene: Scene, k: int) -> str:
    """The class's score or confidence, or how many pixels there are."""
    for values in (scene.scores, scene.confidence):
        if values is not None:
            return "–" if np.isnan(values[k]) else f"{values[k]:.3f}"
    return f"{int(scene.areas[k])} px"


def _marks(st: Any, viewer: Viewer, part: Part, image: str, names: list[str]) -> None:
    """What holds of the image, and buttons to say otherwise."""
    held = viewer.marks(image)
    on = st.selectbox("Mark", [_ALL, *names], key="on class")
    with st.container(horizontal=True):
        for kind in (*part.marks, "none"):
            st.button(
                _SAID[kind],
                key=f"mark {kind}",
                icon=_ICONS[kind],
                on_click=viewer.mark,
                args=(image, kind, "" if on == _ALL else on),
            )
    said = [f"{name or _ALL}: {_SAID[kind].lower()}" for name, kind in sorted(held.items())]
    st.caption("Marked: " + ", ".join(said) if said else "Nothing is marked.")
    if "wrong" in held.values():
        st.caption(f"Left out of training by `exclude = [{viewer.marks_named!r}]` in [data].")


def _main() -> None:
    """The page of the viewer that is served."""
    st = widgets()
    try:
        show(st, current())
    except InputFault as fault:
        st.error(str(fault))


if __name__ == "__main__":
    _main()

"""The viewer's page on 127.0.0.1 and on no other address, by Streamlit, until it is interrupted."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from competition.errors import InputFault
from competition.viewer.scenes import Viewer

ADDRESS = "127.0.0.1"
FIRST_PORT = 8501
"""Of those that are tried where none is asked for."""
_TRIED = 50

_MISSING = InputFault("view needs streamlit: python -m pip install 'podium[view]'")
_shown: list[Viewer] = []


def serve(viewer: Viewer, *, port: int | None = None, say: Callable[[str], None] = print) -> None:
    """Show it until the process is interrupted. port: None takes the first free one from 8501 on.

    InputFault where nothing is predicted, Streamlit is not installed, or the port is taken.
    """
    parts = ", ".join(viewer.parts)  # the page itself would say it where nobody may look
    try:
        from streamlit.web import bootstrap
    except ImportError as error:
        raise _MISSING from error
    chosen = _free_port(port)
    _shown[:] = [viewer]
    settings = {
        "server_address": ADDRESS,
        "server_port": chosen,
        "server_headless": True,  # asks for no e-mail address, and opens no browser
        "server_fileWatcherType": "none",
        "browser_gatherUsageStats": False,
        "global_developmentMode": False,
        "client_toolbarMode": "minimal",
        "logger_level": "error",
    }
    say(f"http://{ADDRESS}:{chosen} shows {parts} until Ctrl-C")
    say(f"marks go to {viewer.project.workspace.marks}")
    bootstrap.load_config_options(settings)
    bootstrap.run(str(Path(__file__).with_name("page.py")), False, [], settings)


def current() -> Viewer:
    """What `serve` shows, for the page, which Streamlit runs in this process."""
    return _shown[0]


def widgets() -> Any:
    """The package streamlit, by which a page makes its widgets."""
    try:
        import streamlit
    except ImportError as error:
        raise _MISSING from error
    return streamlit


def _free_port(asked: int | None) -> int:
    wanted = range(FIRST_PORT, FIRST_PORT + _TRIED) if asked is None else [asked]
    for port in wanted:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((ADDRESS, port))
            except OSError:
                continue
            return one.getsockname()[1]
    taken = f"port {asked}" if asked is not None else f"every port from {FIRST_PORT} on"
    raise InputFault(f"{taken} of {ADDRESS} is taken or not allowed; name another one by --port")

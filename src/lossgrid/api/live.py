"""A figure in a notebook that sharpens while points come: of a run in this process, or of another's file."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lossgrid import store
from lossgrid.api.surface import Surface
from lossgrid.api.words import in_python
from lossgrid.errors import InputError, in_short
from lossgrid.files import in_use
from lossgrid.progress import display_of_notebook
from lossgrid.surface import Surface as Values
from lossgrid.surface.lattice import known_part, mosaic

log = logging.getLogger(__name__)

SHARE = 0.01  # of the time of a run that its figure may take
SHARE_OF_WATCH = 0.1  # the same of a process that only watches
AT_FIRST = 1.0  # s that it may take besides: pictures change most in the beginning
LEAST_SECONDS = 1.0  # between two looks at the file


class LiveFigure:
    """The figure of a surface file below the cell of a notebook; computed points have a dot.

    It never fails a run: the first error is a warning, and ends the figure.
    """

    def __init__(self, path: Path, display: Any, options: Mapping[str, Any], *, share: float = SHARE) -> None:
        """Prepare a figure; it is drawn after ``LEAST_SECONDS`` for the first time.

        Args:
            path: The surface file, which need not exist yet.
            display: The function of IPython that displays an object; None for no figure.
            options: Those of the picture, such as ``{"metric": "test_loss"}``.
            share: Share of the time that it may take.
        """
        self._path, self._display, self._options, self._share = path, display, dict(options), share
        self._began, self._spent, self._seen = time.monotonic(), 0.0, 0
        self._due = math.inf if display is None else self._began + LEAST_SECONDS
        self._handle: Any = None

    def look(self, predict: Callable[[Values], Values | None] = lambda _: None) -> None:
        """Draw the file anew if it is time and there are more points; cheap enough for frequent calls.

        Args:
            predict: Returns a surface under way as the plan of its run predicts it; None where it cannot.
        """
        began = time.monotonic()
        if began < self._due:
            return
        self._draw(predict)
        ended = time.monotonic()
        seconds = ended - began
        self._spent += seconds
        affordable = self._began + (self._spent + seconds - AT_FIRST) / self._share  # when another one is
        self._due = max(self._due, ended + LEAST_SECONDS, affordable)

    def end(self) -> None:
        """Draw the file as it is in the end."""
        self._seen = 0
        if self._due < math.inf:
            self._draw(lambda _: None)

    def _draw(self, predict: Callable[[Values], Values | None]) -> None:
        try:
            surface = store.read(self._path)
            points = int(np.count_nonzero(np.isfinite(surface.seconds)))  # on all samples, or on fewer
            if points <= self._seen:
                return
            self._seen = points
            figure = _figure(surface, predict, self._options)
            if self._handle is None:
                self._handle = self._display(figure, display_id=True)
            else:
                self._handle.update(figure)
        except Exception as error:  # of any kind: a figure is worth less than hours of computing
            self._due = math.inf
            log.warning("the figure was given up, nothing else: %s", in_short(error) or type(error).__name__)


def _figure(surface: Values, predict: Callable[[Values], Values | None], options: Mapping[str, Any]) -> Any:
    """Return the figure of a surface: all that is known of it, with dots at computed points.

    What a plan predicts is drawn as a surface. Without it a plane under way is a mosaic, and a line has its known
    points alone.
    """
    from lossgrid import plot  # here, as importing matplotlib would delay every rank of every run

    kind, whole = None, None if surface.complete else predict(surface)
    if whole is None and surface.pending:
        kind, whole = (None, known_part(surface)) if surface.is_line else ("heat", mosaic(surface))
    return plot.draw(whole or surface, **{"kind": kind, **options, "points": True})


def live_figure(path: Path, wanted: bool | Mapping[str, Any], *, is_root: bool) -> LiveFigure:
    """Return the figure of a run that writes ``path``; it shows nothing if none is wanted, or outside a notebook.

    Args:
        path: The surface file.
        wanted: Whether there is a figure, or its options.
        is_root: Whether this rank may show it.

    Raises:
        InputError: ``wanted`` is neither, or there are no such options.
    """
    if not isinstance(wanted, (bool, Mapping)):
        raise InputError(f"live: expected True, False or a dict such as {{'metric': 'test_loss'}}, got {wanted!r}")
    if wanted is False:
        return LiveFigure(path, None, {})
    options = wanted if isinstance(wanted, Mapping) else {}
    _refuse(options)
    display = display_of_notebook() if is_root else None
    if is_root and display is None:
        log.warning("live: a figure that changes needs a notebook; the run goes on without it")
    return LiveFigure(path, display, options)


def _refuse(options: Mapping[str, Any]) -> None:
    """Refuse options that no picture has, or that hide which points were computed.

    Raises:
        InputError: They are such options.
    """
    from lossgrid import plot

    kind = plot.options_of(**options).kind
    fitting = [one for one in plot.KINDS if one != "surface"]  # a relief would hide them
    if kind is not None and kind not in fitting:
        raise InputError(
            f"a live figure marks the computed points: kind must be one of {', '.join(fitting)}, got {kind!r}"
        )


@in_python()
def watch(path: str | Path, **options: Any) -> Surface:
    """Show a surface in a notebook while another process computes it; return it once that process ends.

    Computed points have a dot. The stop button ends the watch, not the run.

    Args:
        path: The surface file.
        **options: See :class:`lossgrid.plot.PictureOptions`, such as ``metric="test_loss"``.

    Raises:
        InputError: The file does not exist, is damaged, or is not a surface; or this is no notebook.
    """
    path = Path(path)
    surface = store.read(path)
    _refuse(options)
    display = display_of_notebook()
    if display is None:
        raise InputError("watch shows a figure in a notebook, and this is none; use lossgrid status and lossgrid plot")
    figure = LiveFigure(path, display, options, share=SHARE_OF_WATCH)
    is_running = was_running = in_use(path)
    with suppress(KeyboardInterrupt):
        # A run on another machine may hold a lock that is not seen here: then only the file tells its end.
        while not surface.complete and (is_running or not was_running):
            time.sleep(LEAST_SECONDS)
            figure.look()
            is_running = in_use(path)
            was_running |= is_running
            surface = store.read(path)
    figure.end()
    return Surface.of(store.read(path))

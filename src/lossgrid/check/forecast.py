"""The forecast of a run, of measurements and facts of a dry run; each line says where its figure comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lossgrid import store
from lossgrid.check.report import labelled
from lossgrid.surface import Grid, Quantity
from lossgrid.surface.summary import lines_of_centre
from lossgrid.wording import duration, of_bytes, of_shape

RANKS = (1, 4, 16, 64, 256, 1024)  # for which the time is told, as far as there are points for them
PASSES = 3  # of a batch, that are measured
BASIS = 10  # characters of the column that says where a figure comes from


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a dry run has found and measured.

    Attributes:
        network: The network and its weights in words.
        parameters: How many numbers are parameters of the network.
        moved: How many numbers of it move.
        data: Samples of each split, by name.
        where: How the data are held, in words.
        grid: The points of the run.
        pending: Number of points to compute.
        tolerance: The tolerance, by which fewer points may do; None if every point is computed.
        device: Device, threads and precision in words.
        recipe: How points are evaluated, in words.
        quantities: The quantities of a point.
        values: Their values at theta* on the first batch of each split.
        errors: The standard errors of these.
        seconds: Of a sample on each rank, in the fastest of ``PASSES`` passes of a batch; None where what the run is
            for is not here.
        slowest: The same in the slowest pass of all ranks: how far other work disturbs the figure.
        start: Seconds from the start of the program until points can be computed.
        peak: The most bytes of memory that a rank has had.
        gpu_peak: The same of its GPU; None without one.
        gpu_least: Bytes of a GPU for the data, the network and its directions; None where a GPU was measured or none
            is needed.
        doubts: What cannot be known here.
    """

    network: str
    parameters: int
    moved: int
    data: Mapping[str, int]
    where: str
    grid: Grid
    pending: int
    tolerance: float | None
    device: str
    recipe: str
    quantities: Sequence[Quantity]
    values: Sequence[float]
    errors: Sequence[float]
    seconds: Sequence[float] | None
    slowest: float
    start: float
    peak: int
    gpu_peak: int | None = None
    gpu_least: int | None = None
    doubts: Sequence[str] = ()

    @property
    def point_seconds(self) -> float | None:
        """Seconds of a point on one rank, the mean of ranks that share the points; None where not known."""
        if self.seconds is None:
            return None
        return sum(self.data.values()) * len(self.seconds) / sum(1.0 / one for one in self.seconds)

    def seconds_with(self, ranks: int) -> float | None:
        """Return the seconds of the run on so many ranks like those here, at most; None where not known."""
        point = self.point_seconds
        return None if point is None else self.start + math.ceil(self.pending / ranks) * point

    def lines(self) -> list[str]:
        """Return the forecast as lines."""
        rows = [
            ("network", "found", f"{self.network}; {self.parameters:,} parameters, {self.moved:,} numbers move"),
            ("data", "found", f"{_samples(self.data)} samples, {self.where}"),
            ("grid", "found", self._points()),
            ("device", "found", f"{self.device}; {self.recipe}"),
            ("centre", "measured", f"{self._centre()}, on the first batch of each split alone"),
            ("start", "measured", f"{duration(self.start)} until the first point can be computed"),
            *self._times(),
            *self._memory(),
            ("file", "computed", self._file()),
            *(("", "unknown", doubt) for doubt in self.doubts),
        ]
        return [line for label, basis, text in rows for line in labelled(label, f"{basis:<{BASIS}}{text}", 10 + BASIS)]

    def _points(self) -> str:
        total = len(self.grid)
        left = "all to be computed" if self.pending == total else f"{self.pending:,} to be computed"
        fewer = f" at most; --tolerance {self.tolerance:g} leaves out what it can interpolate" if self.tolerance else ""
        return f"{of_shape(self.grid.shape)} = {total:,} points, {left + fewer if self.pending else 'complete'}"

    def _centre(self) -> str:
        told = lines_of_centre(self.quantities, self.values, self.errors)
        return "; ".join(line.removeprefix("at the centre: ") for line in told)

    def _times(self) -> list[tuple[str, str, str]]:
        if self.seconds is None or (point := self.point_seconds) is None:
            return []
        each = " to ".join(dict.fromkeys(map(_brief, (min(self.seconds), max(self.seconds)))))
        on = f"on {_ranks(len(self.seconds))}{' at once' if len(self.seconds) > 1 else ''}"
        ranks = sorted({n for n in RANKS if n < self.pending} | {len(self.seconds)})
        most = "at most " if self.tolerance else ""
        times = ", ".join(f"{_ranks(n)} {duration(self.seconds_with(n) or 0.0)}" for n in ranks)
        measured = [
            (
                "sample",
                "measured",
                f"{each} {on}, the fastest of {PASSES} passes of a batch; the slowest {_brief(self.slowest)}",
            ),
            ("point", "computed", f"{duration(point)} for {sum(self.data.values()):,} samples"),
        ]
        total = ("time", "computed", f"{most}{times}; on devices, or with cores for each rank, as here")
        return [*measured, total] if self.pending else measured

    def _memory(self) -> list[tuple[str, str, str]]:
        rows = [("memory", "measured", f"{of_bytes(self.peak)} a rank at most until now")]
        if self.gpu_peak is not None:
            rows.append(("", "measured", f"{of_bytes(self.gpu_peak)} a rank on its GPU at most until now"))
        if self.gpu_least is not None:
            rows.append(("", "computed", f"{of_bytes(self.gpu_least)} a rank on a GPU, and its batches besides"))
        return rows

    def _file(self) -> str:
        size = store.bytes_of_points(len(self.grid), len(self.quantities))
        names = ", ".join(quantity.name for quantity in self.quantities)
        in_words = of_bytes(size) if size >= 1e6 else f"{size:,} bytes"
        return f"{in_words} for the points, and some ten kilobytes about the run; {names}"


def _samples(data: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in data.items())


def _ranks(count: int) -> str:
    return "1 rank" if count == 1 else f"{count:,} ranks"


def _brief(seconds: float) -> str:
    """Return a short time span with its unit.

    >>> _brief(2.66e-3), _brief(1.774e-4)
    ('2.66 ms', '177 µs')
    """
    unit, size = next((one for one in (("s", 1.0), ("ms", 1e-3)) if seconds >= one[1]), ("µs", 1e-6))
    return f"{seconds / size:.3g} {unit}"

"""The plotly figure of a page: a surface in 3-D, or a line.

The scale is that of ``lossgrid plot``; points without a value are holes.
"""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import numpy.typing as npt

from lossgrid.formats.heights import HeightOptions, choose_values
from lossgrid.formats.points import coordinates
from lossgrid.plot.coordinates import DrawnAxis, drawn_axis, refuse_coordinates
from lossgrid.plot.labels import missing, text_of, title_of, with_unit
from lossgrid.plot.notes import COLOUR
from lossgrid.plot.scale import Scale, ScaleOptions, choose_scale
from lossgrid.surface import INTERPOLATED, Surface
from lossgrid.surface.caveats import caveats_of
from lossgrid.wording import one_line

ALPHA, BETA = "α (along δ)", "β (along η)"  # noqa: RUF001
HEIGHT = 0.65  # of the box, as a fraction of its width


def figure_of(surface: Surface, options: HeightOptions) -> dict[str, Any]:
    """Return the plotly figure as JSON types: data and layout.

    Raises:
        InputError: There is no such metric, or it has no value that can be a height.
    """
    refuse_coordinates([surface])
    quantity, values = choose_values(surface, options)
    wanted = ScaleOptions(log=options.log, vmax=options.clip)
    scale = choose_scale(values, wanted, by_factors=quantity.varies == "by factors")
    label = _plain(with_unit(text_of(quantity.name), quantity, [surface]))
    notes = [
        title_of(surface),
        missing(surface, [quantity.name]),
        f"clipped above {scale.high:.4g}" if scale.above else "",
    ]
    caveats = [
        f'<span style="font-size:0.7em;color:{COLOUR}">{_plain(caveat)}</span>' for caveat in caveats_of(surface)
    ]
    title = {"text": "<br>".join([_plain(", ".join(filter(None, notes))), *caveats])}
    hover = {"hovertext": _texts(surface, values, label, surface.bars.get(quantity.name)), "hoverinfo": "text"}
    heights, axis = np.clip(scale.transform(values), *scale.limits), _axis(scale, label)
    if surface.is_line or 1 in surface.shape:
        trace, layout = _line(surface, heights, axis)
        trace |= _error_bars(values, surface.bars.get(quantity.name), scale)
    else:
        trace, layout = _plane(surface, heights, scale, axis, is_good_high=quantity.better == "higher")
    return {"data": [trace | hover], "layout": layout | {"title": title}}


def _plain(text: str) -> str:
    """Return untrusted text, escaped: plotly interprets tags such as links, and formulas between dollars."""
    return html.escape(one_line(text)).replace("$", "&#36;")


def _plane(
    surface: Surface, heights: Any, scale: Scale, axis: dict[str, Any], *, is_good_high: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the trace and the layout of a surface in 3-D, dark at good values."""
    assert surface.beta is not None
    low, high = scale.limits
    alpha, beta = drawn_axis(surface.alpha, ALPHA), drawn_axis(surface.beta, BETA)
    trace = {
        "type": "surface", "x": alpha.coordinates.tolist(), "y": beta.coordinates.tolist(), "z": _or_none(heights),
        "colorscale": "Viridis", "reversescale": is_good_high, "cmin": low, "cmax": high, "colorbar": axis,
    }  # fmt: skip
    scene = {
        "xaxis": {"title": {"text": _over(alpha)}},
        "yaxis": {"title": {"text": _over(beta)}},
        "zaxis": axis | {"range": [low, high]},
        "aspectmode": "manual",
        "aspectratio": {"x": 1, "y": 1, "z": HEIGHT},
    }
    return trace, {"scene": scene, "margin": {"l": 0, "r": 0, "b": 0}}


def _line(surface: Surface, heights: Any, axis: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the trace and the layout of a line, or of a plane of one row or column."""
    along = drawn_axis(surface.alpha, ALPHA)
    if surface.beta is not None and len(surface.beta) > 1:
        along = drawn_axis(surface.beta, BETA)
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": along.coordinates.tolist(),
        "y": _or_none(heights.ravel()),
    }
    return trace, {"xaxis": {"title": {"text": _over(along)}}, "yaxis": axis}


def _over(axis: DrawnAxis) -> str:
    """Return the label of an axis, with the power of ten that divides its coordinates."""
    return axis.name if axis.power == 0 else f"{axis.name} / 1e{axis.power}"


def _axis(scale: Scale, label: str) -> dict[str, Any]:
    """Return an axis of heights: ticks at transformed values, with the values as text."""
    ticks = scale.ticks()
    transformed = scale.transform(ticks).tolist()
    return {"title": {"text": label}, "tickvals": transformed, "ticktext": [f"{tick:.4g}" for tick in ticks]}


def _error_bars(values: npt.NDArray[np.float64], bars: npt.NDArray[np.float32] | None, scale: Scale) -> dict[str, Any]:
    """Return the error bars of a line in the scale of its heights; empty if there are none."""
    if bars is None or not (bars > 0).any():
        return {}
    width = np.nan_to_num(bars.astype(np.float64), nan=0.0, posinf=0.0)
    low, middle, high = (np.clip(scale.transform(values + sign * width), *scale.limits) for sign in (-1, 0, 1))
    return {
        "error_y": {
            "type": "data", "symmetric": False, "thickness": 1, "width": 0,
            "array": _or_none((high - middle).ravel()), "arrayminus": _or_none((middle - low).ravel()),
        }
    }  # fmt: skip


def _texts(
    surface: Surface, values: npt.NDArray[np.float64], label: str, bars: npt.NDArray[np.float32] | None
) -> list[Any]:
    """Return the hover texts of all points: coordinates and the value, which may be above a clipped height.

    Interpolated values have their error bars.

    They are complete texts: in a template, plotly.js exchanges row and column of the numbers.
    """
    texts = np.char.mod(f"{label.replace('%', '%%')} %.6g", values)
    if bars is not None:
        off = np.char.mod(" ± %.2g, interpolated", bars)
        texts = np.char.add(texts, np.where(surface.status == INTERPOLATED, off, ""))
    for name, numbers in reversed(coordinates(surface).items()):
        texts = np.char.add(np.char.mod(f"{name} %.4g<br>", numbers), texts)
    rows: list[Any] = (texts.ravel() if 1 in texts.shape else texts).tolist()
    return rows


def _or_none(values: Any) -> Any:
    """Return an array as nested lists, None where it is masked or NaN."""
    return np.ma.masked_invalid(values).tolist()

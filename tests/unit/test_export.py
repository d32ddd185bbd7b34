import csv
import html
import itertools
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as arrays_of
import numpy as np
import pandas
import plotly.graph_objects
import pytest
import torch
import xarray
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXdmf2 import vtkXdmfReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from lossgrid import directions, store
from lossgrid.errors import InputError
from lossgrid.formats import FORMATS, export_file, figure
from lossgrid.formats.heights import HeightOptions
from lossgrid.run.axes import Axes, save_directions
from lossgrid.surface import DONE, FAILED, NOT_FINITE, PENDING, Origin, Session, Surface
from tests.builders import a_network, a_surface

NAN = np.nan
QUICK = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def surface_of(loss: Any, status: Any, *, accuracy: Any = None) -> Surface:
    loss = np.asarray(loss, dtype=np.float64)
    metrics = {"train_loss": loss} | ({} if accuracy is None else {"train_accuracy": np.asarray(accuracy)})
    return a_surface(
        metrics,
        beta=None if loss.ndim == 1 else np.linspace(0, 0.7, loss.shape[0]),
        status=status,
        origin=Origin(
            {"model": "mlp", "loss": "cross_entropy", "directions": "random", "precision": "float32"}, writer="root"
        ),
        sessions=(Session(2, 1.0, 3.0),),
    )


PLANE = surface_of(
    [[1.0, 0.1, 100.0, 2.0, 7.0], [0.3, 0.2, 0.4, NAN, 1e3], [NAN, 5.0, 6.0, 1 / 3, np.inf]],
    [[1, 1, 1, 1, 1], [1, 1, 1, 0, 1], [3, 1, 1, 1, 2]],
    accuracy=[[0.5, 1.0, 0.1, 0.4, 0.2], [0.8, 0.9, 0.7, NAN, 0.0], [NAN, 0.3, 0.25, 2 / 3, 0.1]],
)
LINE = surface_of([3.0, NAN, 1.0, 2.0, 4.0, NAN], [1, 0, 1, 1, 1, 2])


@st.composite
def surfaces(draw: st.DrawFn, *, lines: bool = True) -> Surface:
    """Draw surfaces of any shape, with any losses and statuses."""
    shape = draw(arrays_of.array_shapes(min_dims=1 if lines else 2, max_dims=2, min_side=1, max_side=6))
    loss = draw(arrays_of.arrays(np.float64, shape, elements=st.floats(1e-300, 1e300)))
    status = draw(arrays_of.arrays(np.uint8, shape, elements=st.sampled_from((PENDING, DONE, NOT_FINITE, FAILED))))
    loss[np.isin(status, (PENDING, FAILED))] = NAN
    loss[status == NOT_FINITE] = draw(st.sampled_from((NAN, np.inf)))
    return surface_of(loss, status, accuracy=np.where(np.isnan(loss), NAN, 1 / (1 + loss)))


def saved(folder: Path, surface: Surface, name: str = "s.h5") -> Path:
    store.save(folder / name, surface, overwrite=True)
    return folder / name


def exported(folder: Path, surface: Surface, to: str, **heights: Any) -> Path:
    return export_file(saved(folder, surface), to=to, options=HeightOptions(**heights), overwrite=True)


def mesh(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and beta of all points, 0 for the beta of a line."""
    return tuple(np.meshgrid(surface.alpha, np.zeros(1) if surface.beta is None else surface.beta))


# csv


def test_csv_has_a_row_for_each_point_alpha_first(tmp_path: Path) -> None:
    with exported(tmp_path, PLANE, "csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["alpha", "beta", "train_loss", "train_accuracy", "status", "seconds", "rank"]
    assert [row["alpha"] for row in rows[:6]] == ["-1.0", "-0.5", "0.0", "0.5", "1.0", "-1.0"]
    assert [float(row["beta"]) for row in rows[::5]] == PLANE.beta.tolist()
    assert rows[0]["train_loss"] == "1.0"
    assert rows[8] == {
        "alpha": "0.5", "beta": "0.35", "train_loss": "", "train_accuracy": "", "status": "pending",
        "seconds": "", "rank": "",
    }  # fmt: skip
    assert rows[10]["train_loss"] == ""
    assert rows[10]["status"] == "failed"
    assert rows[14]["train_loss"] == "inf"
    assert rows[14]["status"] == "not finite"
    assert rows[14]["seconds"] == "0.1"


def test_csv_of_a_line_has_no_beta(tmp_path: Path) -> None:
    table = pandas.read_csv(exported(tmp_path, LINE, "csv"))
    assert list(table) == ["alpha", "train_loss", "status", "seconds", "rank"]
    np.testing.assert_array_equal(table["train_loss"], LINE["train_loss"])


@QUICK
@given(surface=surfaces())
def test_csv_gives_back_every_bit(tmp_path: Path, surface: Surface) -> None:
    with exported(tmp_path, surface, "csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = dict(zip(("alpha", "beta"), mesh(surface), strict=True)) | dict(surface.values)
    for name in set(rows[0]) & set(expected):
        np.testing.assert_array_equal([float(row[name] or "nan") for row in rows], expected[name].ravel())
    np.testing.assert_array_equal([np.float32(row["seconds"] or "nan") for row in rows], surface.seconds.ravel())


# vtk


def read_vtp(path: Path) -> Any:
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    assert reader.GetErrorCode() == 0
    return reader.GetOutput()


def arrays(data: Any) -> dict[str, np.ndarray]:
    points = data.GetPointData()
    return {points.GetArrayName(i): vtk_to_numpy(points.GetArray(i)) for i in range(points.GetNumberOfArrays())}


def cells(data: Any) -> list[list[int]]:
    each = (data.GetCell(i) for i in range(data.GetNumberOfCells()))
    return [[cell.GetPointId(k) for k in range(cell.GetNumberOfPoints())] for cell in each]


def places(data: Any) -> np.ndarray:
    return vtk_to_numpy(data.GetPoints().GetData()) if data.GetNumberOfPoints() else np.empty((0, 3))


def test_vtk_has_the_loss_as_height_and_holes_where_it_is_not_known(tmp_path: Path) -> None:
    data = read_vtp(exported(tmp_path, PLANE, "vtk"))
    known = np.isfinite(PLANE["train_loss"])
    alpha, beta = mesh(PLANE)
    expected = np.stack([alpha[known], beta[known], PLANE["train_loss"][known]], axis=1)
    np.testing.assert_array_equal(places(data), expected)
    found = arrays(data)
    assert list(found) == ["zvalue", "train_loss", "train_accuracy", "status"]
    np.testing.assert_array_equal(found["zvalue"], PLANE["train_loss"][known])
    np.testing.assert_array_equal(found["train_accuracy"], PLANE["train_accuracy"][known])
    np.testing.assert_array_equal(found["status"], PLANE.status[known])
    assert data.GetPointData().GetScalars().GetName() == "zvalue"
    # Of the 2 x 4 faces, those left of the pending point are whole, but for the one at the failed point.
    corners = [sorted(map(tuple, places(data)[face, :2].round(6).tolist())) for face in cells(data)]
    assert corners == [
        [(-1.0, 0.0), (-1.0, 0.35), (-0.5, 0.0), (-0.5, 0.35)],
        [(-0.5, 0.0), (-0.5, 0.35), (0.0, 0.0), (0.0, 0.35)],
        [(-0.5, 0.35), (-0.5, 0.7), (0.0, 0.35), (0.0, 0.7)],
    ]


def test_faces_are_seen_from_above(tmp_path: Path) -> None:
    data = read_vtp(exported(tmp_path, PLANE, "vtk"))
    for face in cells(data):
        x, y = places(data)[face, 0], places(data)[face, 1]
        assert np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) > 0  # counter-clockwise


def test_vtk_heights_can_be_logarithms_clipped_and_of_another_metric(tmp_path: Path) -> None:
    clipped = arrays(read_vtp(exported(tmp_path, PLANE, "vtk", log=True, clip=10.0)))
    np.testing.assert_allclose(clipped["zvalue"], np.log10(np.minimum(clipped["train_loss"], 10)), rtol=1e-15)
    assert clipped["train_loss"].max() == 1e3  # the metric itself is as it was
    accuracy = PLANE["train_accuracy"]
    linear = places(read_vtp(exported(tmp_path, PLANE, "vtk", metric="train_accuracy")))
    np.testing.assert_array_equal(linear[:, 2], accuracy[~np.isnan(accuracy)])
    positive = places(read_vtp(exported(tmp_path, PLANE, "vtk", metric="train_accuracy", log=True)))
    np.testing.assert_allclose(10 ** positive[:, 2], accuracy[accuracy > 0], rtol=1e-14)  # 0 has no logarithm


def test_a_line_is_a_line_in_vtk(tmp_path: Path) -> None:
    data = read_vtp(exported(tmp_path, LINE, "vtk"))
    np.testing.assert_array_equal(places(data)[:, 2], [3, 1, 2, 4])
    np.testing.assert_array_equal(places(data)[:, 1], 0)
    np.testing.assert_allclose(places(data)[:, 0], [-1, -0.2, 0.2, 0.6])
    assert data.GetNumberOfLines() == 2
    assert cells(data) == [[1, 2], [2, 3]]  # the first point stands alone, beside a pending one


@QUICK
@given(surface=surfaces())
def test_every_face_whose_corners_are_known_is_there(tmp_path: Path, surface: Surface) -> None:
    known = np.atleast_2d(np.isfinite(surface["train_loss"]))
    if not known.any():
        with pytest.raises(InputError, match="train_loss is known at no point"):
            exported(tmp_path, surface, "vtk")
        return
    data = read_vtp(exported(tmp_path, surface, "vtk"))
    alpha, beta = mesh(surface)
    np.testing.assert_array_equal(places(data)[:, :2], np.stack([alpha[known], beta[known]], axis=1))
    rows, columns = known.shape
    if 1 in known.shape:
        flags = known.ravel()
        assert data.GetNumberOfLines() == sum(a and b for a, b in itertools.pairwise(flags))
    else:
        faces = [(j, i) for j in range(rows - 1) for i in range(columns - 1) if known[j : j + 2, i : i + 2].all()]
        assert data.GetNumberOfPolys() == len(faces)
        for (j, i), face in zip(faces, cells(data), strict=True):
            middle = places(data)[face, :2].mean(axis=0)
            np.testing.assert_allclose(middle, [alpha[j, i : i + 2].mean(), beta[j : j + 2, i].mean()], atol=1e-12)


# xdmf


def read_xdmf(path: Path) -> Any:
    reader = vtkXdmfReader()
    assert reader.CanReadFile(str(path))
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutputDataObject(0)


@pytest.mark.parametrize("surface", [PLANE, LINE])
def test_xdmf_shows_the_surface_itself(tmp_path: Path, surface: Surface) -> None:
    path = exported(tmp_path, surface, "xdmf")
    grid = read_xdmf(path)
    rows = 1 if surface.beta is None else len(surface.beta)
    assert grid.GetDimensions() == (len(surface.alpha), rows, 1)
    np.testing.assert_array_equal(vtk_to_numpy(grid.GetXCoordinates()), surface.alpha)
    np.testing.assert_array_equal(vtk_to_numpy(grid.GetYCoordinates()), mesh(surface)[1][:, 0])
    found = arrays(grid)
    assert set(found) == {*surface.quantities, "status", "seconds", "rank"}
    for name, values in found.items():
        expected = surface.values.get(name, getattr(surface, name, None))
        np.testing.assert_array_equal(values, expected.ravel())
    assert path.stat().st_size < 3000


def test_xdmf_finds_the_surface_from_another_folder_and_sees_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    (tmp_path / "views").mkdir()
    file = saved(tmp_path / "a folder", PLANE)
    path = export_file(file, to="xdmf", out=tmp_path / "views" / "s.xdmf")
    assert "../a folder/s.h5:/train_loss" in path.read_text()
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name} moved"))
    with h5py.File(moved / "a folder" / "s.h5", "r+") as surface:
        surface["train_loss"][1, 3] = 42.0
    assert arrays(read_xdmf(moved / "views" / "s.xdmf"))["train_loss"][8] == 42.0
    moved.rename(tmp_path)


def test_xdmf_refuses_a_name_it_cannot_write(tmp_path: Path) -> None:
    file = saved(tmp_path, PLANE, "a:b.h5")
    with pytest.raises(InputError, match=r"'a:b\.h5': XDMF cannot name it"):
        export_file(file, to="xdmf")
    assert list(tmp_path.iterdir()) == [file]


# html


def read_page(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the only trace and the layout of a page."""
    page = path.read_text(encoding="utf-8")
    start = re.search(r'Plotly\.newPlot\(\s*"surface",\s*', page)
    assert start is not None
    decoder = json.JSONDecoder()
    (trace,), end = decoder.raw_decode(page, start.end())
    layout, _ = decoder.raw_decode(page, page.index("{", end))
    return trace, layout


def as_array(rows: Any) -> np.ndarray:
    return np.array(rows, dtype=np.float64)  # None becomes NaN


def test_the_page_shows_the_values_at_their_places(tmp_path: Path) -> None:
    trace, layout = read_page(exported(tmp_path, PLANE, "html", log=False, clip=1e6))
    assert trace["type"] == "surface"
    np.testing.assert_array_equal(trace["x"], PLANE.alpha)
    np.testing.assert_array_equal(trace["y"], PLANE.beta)
    expected = np.where(np.isfinite(PLANE["train_loss"]), PLANE["train_loss"], NAN)
    np.testing.assert_array_equal(as_array(trace["z"]), expected)
    assert trace["hovertext"][2][3] == "alpha 0.5<br>beta 0.7<br>train loss (nats per sample) 0.333333"
    assert layout["title"]["text"] == "mlp, 5 x 3 points, 2 points not finite, 1 pending"
    assert layout["scene"]["zaxis"]["title"]["text"] == "train loss (nats per sample)"
    assert trace["reversescale"] is False


def test_the_page_can_be_logarithmic_and_clipped_and_says_so(tmp_path: Path) -> None:
    trace, layout = read_page(exported(tmp_path, PLANE, "html", log=True, clip=10.0))
    loss = np.where(np.isfinite(PLANE["train_loss"]), PLANE["train_loss"], NAN)
    np.testing.assert_allclose(as_array(trace["z"]), np.log10(np.minimum(loss, 10)), rtol=1e-14)
    assert "clipped above 10" in layout["title"]["text"]
    ticks = layout["scene"]["zaxis"]
    np.testing.assert_allclose(10 ** as_array(ticks["tickvals"]), as_array(ticks["ticktext"]), rtol=1e-3)
    assert trace["hovertext"][0][2].endswith(" 100")  # the value, not where it is drawn


def test_without_options_the_page_has_the_scale_of_the_pictures(tmp_path: Path) -> None:
    trace, _ = read_page(exported(tmp_path, PLANE, "html"))
    assert as_array(trace["z"])[0, 2] == pytest.approx(2.0)  # losses from 0.1 to 1000: logarithmic


def test_accuracies_are_dark_where_they_are_high(tmp_path: Path) -> None:
    trace, _ = read_page(exported(tmp_path, PLANE, "html", metric="train_accuracy"))
    np.testing.assert_array_equal(as_array(trace["z"]), PLANE["train_accuracy"])
    assert trace["reversescale"] is True


@pytest.mark.parametrize("shape", ["line", "row", "column"])
def test_a_line_is_a_line_on_the_page(tmp_path: Path, shape: str) -> None:
    loss = {"line": LINE["train_loss"], "row": LINE["train_loss"][None], "column": LINE["train_loss"][:, None]}[shape]
    surface = surface_of(loss, np.ones(loss.shape))
    trace, layout = read_page(exported(tmp_path, surface, "html", log=False))
    assert trace["type"] == "scatter"
    np.testing.assert_array_equal(trace["x"], surface.beta if shape == "column" else surface.alpha)
    np.testing.assert_array_equal(as_array(trace["y"]), LINE["train_loss"])
    assert len(trace["hovertext"]) == 6
    assert layout["xaxis"]["title"]["text"][0] == ("β" if shape == "column" else "α")  # noqa: RUF001


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page = exported(tmp_path, PLANE, "html").read_text(encoding="utf-8")
    assert len(page) > 1_000_000  # plotly.js is in it
    assert re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=", page) == []


def test_a_name_cannot_break_the_page(tmp_path: Path) -> None:
    surface = replace(PLANE, origin=Origin({**PLANE.config, "model": "</script><b>"}))
    path = exported(tmp_path, surface, "html")
    assert "</script><b>" not in path.read_text(encoding="utf-8")
    title = read_page(path)[1]["title"]["text"]
    assert html.unescape(title).startswith("</script><b>, 5 x 3 points")
    assert "<b>" not in title  # of which plotly would make bold text


def test_without_plotly_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly.io", None)
    file = saved(tmp_path, PLANE)
    with pytest.raises(InputError, match=r"needs plotly; pip install 'lossgrid\[html\]'"):
        export_file(file, to="html")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("surface", [PLANE, LINE])
def test_plotly_knows_everything_in_the_figure(surface: Surface) -> None:
    plain = figure.figure_of(surface, HeightOptions())
    del plain["data"][0]["hovertext"]  # see page.write
    assert plotly.graph_objects.Figure(plain).data[0].type == plain["data"][0]["type"]


# the surface itself


@pytest.mark.parametrize("surface", [PLANE, LINE])
def test_xarray_opens_the_surface_as_it_is(tmp_path: Path, surface: Surface) -> None:
    with xarray.open_dataset(saved(tmp_path, surface), engine="h5netcdf") as dataset:
        assert dataset["train_loss"].dims == (("alpha",) if surface.is_line else ("beta", "alpha"))
        for name in (*surface.quantities, "status", "seconds", "rank"):
            expected = surface.values.get(name, getattr(surface, name, None))
            np.testing.assert_array_equal(dataset[name].values, expected)
        np.testing.assert_array_equal(dataset["alpha"].values, surface.alpha)
        assert dataset.attrs["format"] == "lossgrid"
        assert json.loads(dataset.attrs["config"])["model"] == "mlp"


# files


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_is_replaced_only_when_asked_and_the_surface_never(tmp_path: Path, to: str) -> None:
    file = saved(tmp_path, PLANE)
    before = file.read_bytes()
    path = export_file(file, to=to)
    assert path == tmp_path / f"s{FORMATS[to].ending}"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists; give --overwrite to replace it"):
        export_file(file, to=to)
    assert path.read_bytes() == b"mine"
    export_file(file, to=to, overwrite=True)
    assert path.read_bytes() != b"mine"
    assert file.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([file, path])


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_surface_gives_the_same_bytes(tmp_path: Path, to: str) -> None:
    file = saved(tmp_path, PLANE)
    path = export_file(file, to=to)
    before = path.read_bytes()
    assert export_file(file, to=to, overwrite=True).read_bytes() == before


def test_what_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(surface: Surface, path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    path = exported(tmp_path, PLANE, "csv")
    before = path.read_bytes()
    monkeypatch.setitem(FORMATS, "csv", replace(FORMATS["csv"], write=full))
    with pytest.raises(InputError, match=r"cannot write .*s\.csv: No space left on device"):
        export_file(tmp_path / "s.h5", to="csv", overwrite=True)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "obj"}, "expected one of loss-landscape, vtk, xdmf, csv, html, got 'obj'"),
        ({"to": "csv", "options": HeightOptions("train_loss")}, "--metric is for vtk and html"),
        ({"to": "xdmf", "options": HeightOptions(log=False)}, "--log is for vtk and html"),
        ({"to": "loss-landscape", "options": HeightOptions(clip=1.0)}, "--clip is for vtk and html"),
        (
            {"to": "html", "options": HeightOptions(clip=0.1)},
            "--clip 0.1 leaves nothing of train_loss, of which 0.1 is lowest",
        ),
        ({"to": "vtk", "options": HeightOptions("test_loss")}, "no 'test_loss'; it has train_loss, train_accuracy"),
        ({"to": "vtk", "out": "s.ply"}, "the name of a file for vtk ends in .vtp"),
        ({"to": "csv", "out": "absent/s.csv"}, "there is no folder"),
        ({"to": "loss-landscape", "out": "s.h5", "overwrite": True}, "is the surface itself"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_is_written(
    tmp_path: Path, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = saved(tmp_path, PLANE)
    before = file.read_bytes()
    if "out" in options:
        options = options | {"out": Path(options["out"])}
    with pytest.raises(InputError, match=re.escape(message)):
        export_file(Path("s.h5"), **options)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_heights_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="--clip must be a finite number, got nan"):
        HeightOptions(clip=math.nan)
    with pytest.raises(InputError, match="--clip must be positive with --log"):
        HeightOptions(log=True, clip=-1.0)


def test_logarithms_need_positive_values(tmp_path: Path) -> None:
    surface = surface_of([[-1.0, -2.0], [0.0, -3.0]], np.ones((2, 2)))
    for to in ("vtk", "html"):
        with pytest.raises(InputError, match="--log needs positive values, and the highest train_loss is 0"):
            exported(tmp_path, surface, to, log=True)
        some = surface_of([[-1.0, 3.0], [0.0, 5.0]], np.ones((2, 2)))
        with pytest.raises(InputError, match="--clip 2 leaves nothing of train_loss, of which 3 is lowest"):
            exported(tmp_path, some, to, log=True, clip=2.0)


@pytest.mark.slow
def test_the_command_says_what_it_wrote_and_what_is_pending(tmp_path: Path, start: Any) -> None:
    saved(tmp_path, PLANE)
    done = start(0, "lossgrid", "export", "s.h5", "--to", "vtk", "--log", "--clip", "50")
    assert done.returncode == 0
    assert done.stdout == "s.vtp\n"
    assert "1 of 15 points are pending" in done.stderr
    assert "3 of 15 points have no height and are left out" in done.stderr
    assert arrays(read_vtp(tmp_path / "s.vtp"))["zvalue"].max() == np.log10(50)
    refused = start(0, "lossgrid", "export", "s.h5", "--to", "vtk")
    assert refused.returncode == 2
    assert refused.stderr == "lossgrid: error: s.vtp exists; give --overwrite to replace it, or choose another --out\n"


# direction files


@pytest.mark.parametrize("moves", ["weights", "states"])
def test_the_reference_tool_reads_our_directions_by_number(tmp_path: Path, moves: str) -> None:
    """It pairs dataset k with parameter k, or with entry k of the state dict, and knows no names."""
    model = a_network()
    theta = directions.parameters(model)
    delta = directions.gaussian(theta, seed=1, axis=0)
    eta = directions.gaussian(theta, seed=1, axis=1)
    if moves == "states":
        eta = eta | {"1.running_mean": torch.ones(3, dtype=torch.float64)}
    save_directions(tmp_path / "d.h5", model, Axes.of(delta, eta), about={}, overwrite=False)
    expected = list((directions.states(model) if moves == "states" else theta).items())
    with h5py.File(tmp_path / "d.h5", "r") as file:
        for group, direction in (("xdirection", delta), ("ydirection", eta)):
            assert len(file[group]) == len(expected)
            for number, (name, tensor) in enumerate(expected):
                array = file[group][str(number)][()]
                assert array.shape == tuple(tensor.shape)
                wanted = direction[name].numpy() if name in direction else np.zeros(array.shape)
                np.testing.assert_array_equal(array, wanted)
    for stored, direction in zip(store.read_directions(tmp_path / "d.h5"), (delta, eta), strict=True):
        back = directions.match(stored.arrays, stored.names, model, source="d.h5")
        assert list(back) == list(direction)  # what stays is not part of the direction
        assert all(torch.equal(back[name], direction[name]) for name in direction)
    save_directions(tmp_path / "d.h5", model, Axes.of(delta, eta), about={}, overwrite=False)  # the same ones: stays

"""Surfaces and comparisons as Python and notebooks show them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import lossgrid
from lossgrid import store
from lossgrid.api.surface import Surface
from lossgrid.plot import title_of
from lossgrid.surface import PENDING, Origin
from lossgrid.surface import Surface as Values
from tests.builders import a_surface

ALPHA, BETA = np.linspace(-1, 1, 5), np.linspace(-1, 1, 5)
LOSS = 0.5 + ALPHA[None, :] ** 2 + 2 * BETA[:, None] ** 2
ERRORS = {"train_loss": np.full((5, 5), 0.0131, np.float32)}


def a_plane(steep: float = 1.0, **changes: object) -> Surface:
    values = {"train_loss": steep * LOSS, "train_accuracy": 1 / (1 + LOSS), "test_loss": 2 * LOSS}
    return Surface.of(a_surface(values, alpha=ALPHA, beta=BETA, **{"errors": ERRORS, **changes}))


# names


@pytest.mark.parametrize(
    "name", ["InputError", "RankError", "Surface", "compare", "evaluate", "numbers", "open", "plot"]
)
def test_every_public_name_is_reached_and_completed(name: str) -> None:
    assert name in dir(lossgrid)
    assert (name in lossgrid.__all__) == (name != "open")  # a star import must not replace Python's own
    assert hasattr(lossgrid, name)


def test_plot_is_reached_without_an_import_of_its_own_and_loads_lazily() -> None:
    program = (
        "import sys, lossgrid\n"
        "heavy = ('torch', 'h5py', 'matplotlib', 'numpy', 'mpi4py', 'pydantic', 'rich')\n"
        "dir(lossgrid), lossgrid.InputError, lossgrid.RankError\n"
        "print([name for name in heavy if name in sys.modules])\n"
        "lossgrid.plot.draw, lossgrid.compare, lossgrid.Surface, lossgrid.open\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_surfaces_and_comparisons_need_no_torch() -> None:
    program = "import sys, lossgrid\nlossgrid.compare, lossgrid.Surface, lossgrid.plot\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_errors_are_those_that_lossgrid_raises() -> None:
    with pytest.raises(lossgrid.InputError):
        lossgrid.open("absent.h5")
    assert issubclass(lossgrid.RankError, RuntimeError)


# text and HTML


def test_a_surface_is_one_line() -> None:
    expected = "<Surface 5 x 5: train loss, accuracy; test loss; complete>"
    assert repr(a_plane()) == expected
    assert repr(a_plane(path=Path("runs/s.h5"))) == expected[:-1] + "; runs/s.h5>"


def test_a_surface_counts_its_pending_points() -> None:
    status = np.ones((5, 5))
    status[0] = PENDING
    assert "; 5 of 25 points pending>" in repr(a_plane(status=status))
    assert "; incomplete>" in repr(a_plane(complete=False))


def test_hostile_names_remain_one_line_and_text() -> None:
    values = a_surface({"<b>\nx_loss": LOSS}, alpha=ALPHA, beta=BETA, path=Path("a\n<script>.h5"))
    surface = Surface.of(values)
    assert "\n" not in repr(surface)
    shown = surface._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&lt;b&gt; x loss" in shown


def test_the_table_has_values_at_the_centre_with_standard_errors() -> None:
    shown = a_plane(origin=Origin({"model": "mlp"}, weights="random"))._repr_html_()
    assert "<tr><th>train loss</th><td>0.5000 ± 0.013</td><td>0.5000</td><td>3.500</td></tr>" in shown
    assert "<th>train accuracy</th><td>0.6667</td>" in shown
    assert shown.index("<th>train loss") < shown.index("<th>test loss") < shown.index("<th>train accuracy")
    assert "random weights" in shown


def test_a_table_without_a_centre_or_values_has_dashes() -> None:
    off = Surface.of(a_surface({"train_loss": LOSS}, alpha=ALPHA + 5, beta=BETA))
    assert "<td>-</td><td>0.5000</td><td>3.500</td>" in off._repr_html_()
    empty = Surface.of(a_surface({"train_loss": LOSS * np.nan}, alpha=ALPHA, beta=BETA, status=np.zeros((5, 5))))
    assert "<td>-</td><td>-</td><td>-</td>" in empty._repr_html_()


# what evaluate and open return


def test_evaluate_and_open_return_surfaces_with_methods(tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = torch.eye(4), torch.tensor([0, 1, 2, 3])
    surface = lossgrid.evaluate(torch.nn.Linear(4, 4), data, alpha="-1:1:3")
    assert isinstance(surface, lossgrid.Surface)
    assert surface.path is None  # the file it was computed in is gone
    path = surface.save(tmp_path / "s.h5")
    opened = lossgrid.open(path)
    assert isinstance(opened, lossgrid.Surface)
    assert isinstance(opened, Values)
    assert opened.path == path


# methods


def test_a_saved_surface_is_read_back_to_the_bit(tmp_path: Path) -> None:
    surface = a_plane()
    saved = store.read(surface.save(str(tmp_path / "s.h5")))
    for name, values in surface.values.items():
        np.testing.assert_array_equal(saved[name], values)
    np.testing.assert_array_equal(saved.errors["train_loss"], ERRORS["train_loss"])
    assert saved.complete
    assert saved.created == surface.created


def test_no_file_is_overwritten_unasked_and_no_other_file_ever(tmp_path: Path) -> None:
    path = a_plane().save(tmp_path / "s.h5")
    with pytest.raises(lossgrid.InputError, match=r"^path: .* exists; choose another file, or overwrite=True to"):
        a_plane(2).save(path)
    assert a_plane(2).save(path, overwrite=True) == path
    assert lossgrid.open(path)["train_loss"][2, 2] == 1.0
    with pytest.raises(lossgrid.InputError, match="the file of this surface, which is only read"):
        lossgrid.open(path).save(path, overwrite=True)
    (tmp_path / "text").write_text("mine")
    with pytest.raises(lossgrid.InputError):
        a_plane().save(tmp_path / "text", overwrite=True)
    assert (tmp_path / "text").read_text() == "mine"
    with pytest.raises(lossgrid.InputError) as caught:
        a_plane().save(tmp_path / "absent" / "s.h5")
    assert "\n" not in str(caught.value)


def test_plot_draws_a_figure_or_into_axes() -> None:
    surface, axes = a_plane(), Figure().subplots()
    assert isinstance(surface.plot("heat", metric="test_loss"), Figure)
    assert surface.plot(ax=axes, title="") is axes
    assert axes.has_data()


def test_the_dataset_has_names_dimensions_and_values_of_the_file(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    surface = a_plane()
    dataset = surface.to_xarray()
    with xarray.open_dataset(surface.save(tmp_path / "s.h5"), engine="h5netcdf") as file:
        assert set(file.variables) == set(dataset.variables)
        for name in file.variables:
            assert dataset[name].dims == file[name].dims
            np.testing.assert_array_equal(dataset[name].values, file[name].values)
    assert dataset["train_loss"].attrs["units"] == "nats per sample"
    assert float(dataset["train_loss"].sel(alpha=0, beta=0)) == 0.5
    assert json.loads(dataset.attrs["config"])["model"] == "mlp"
    dataset["train_loss"][0, 0] = 7.0
    assert surface["train_loss"][0, 0] == LOSS[0, 0]


def test_a_line_has_one_dimension_in_a_dataset() -> None:
    pytest.importorskip("xarray")
    assert Surface.of(a_surface({"train_loss": LOSS[0]})).to_xarray()["train_loss"].dims == ("alpha",)


def test_without_xarray_the_error_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(lossgrid.InputError, match=r"^to_xarray needs xarray, which is not installed; pip "):
        a_plane().to_xarray()


# comparison


def test_a_comparison_has_the_numbers_of_the_command_line(tmp_path: Path) -> None:
    from lossgrid.cli.comparison import as_table, compare_files

    flat, steep = a_plane().save(tmp_path / "flat.h5"), a_plane(4).save(tmp_path / "steep.h5")
    found = lossgrid.compare(flat, lossgrid.open(steep))
    options = {"metric": None, "radius": 0.5, "levels": ("+0.1", "+0.5", "+1", "2x"), "log_scale": None, "vmax": None}
    printed = compare_files([flat, steep], **options, labels=[], out=None, draw=False, overwrite=False)  # type: ignore[arg-type]
    assert repr(found) == as_table(printed)
    assert [record["label"] for record in found.records()] == ["flat", "steep"]
    assert isinstance(found.plot(), Figure)


def test_a_comparison_shows_itself_as_a_table() -> None:
    found = a_plane().compare(a_plane(4), labels=["<adam>", "sgd"])
    shown = found._repr_html_()
    assert "<th>&lt;adam&gt;</th><th>sgd</th>" in shown
    assert shown.count("<tr>") == len(found.measured[0].numbers) + 1
    assert "train loss" in shown


def test_surfaces_without_files_have_numbers_as_names() -> None:
    assert [one.label for one in lossgrid.compare(a_plane(), a_plane(2)).measured] == ["surface 1", "surface 2"]


def test_a_list_is_compared_as_its_surfaces_are() -> None:
    listed, each = lossgrid.compare([a_plane(), a_plane(2)]), lossgrid.compare(a_plane(), a_plane(2))
    assert repr(listed) == repr(each)


def test_a_label_is_the_name_in_tables_titles_and_the_line_of_a_surface() -> None:
    labelled = a_plane(origin=Origin({"label": "adam"}))
    assert [one.label for one in lossgrid.compare(labelled, labelled).measured] == ["surface 1", "surface 2"]
    sgd = a_plane(origin=Origin({"label": "sgd", "model": "mlp"}))
    assert [one.label for one in lossgrid.compare(labelled, sgd).measured] == ["adam", "sgd"]
    assert [one.label for one in lossgrid.compare(labelled, sgd, labels=["a", "b"]).measured] == ["a", "b"]
    assert title_of(sgd).startswith("sgd, ")
    assert repr(sgd).startswith("<Surface sgd, ")


def test_a_run_keeps_its_label(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, data = torch.nn.Linear(3, 2), (torch.eye(3), torch.tensor([0, 1, 1]))
    out = tmp_path / "s.h5"
    given: dict[str, Any] = {"alpha": (-1, 1, 3), "out": out}
    assert lossgrid.evaluate(model, data, label="first", **given).label == "first"
    assert "label" not in caplog.text
    assert lossgrid.evaluate(model, data, label="second", **given).label == "first"
    assert "keeps its label: first" in caplog.text
    with pytest.raises(lossgrid.InputError, match=r"^label: "):
        lossgrid.evaluate(model, data, label="", **given)


def test_other_units_are_warned_of() -> None:
    other = a_plane(origin=Origin({"model": "mlp", "loss": "mse"}))
    assert "loss differs, and with it the unit of some numbers" in repr(lossgrid.compare(a_plane(), other))


@pytest.mark.parametrize(
    ("surfaces", "options", "text"),
    [
        ([], {}, "expected one surface or more to compare, got none"),
        ([3], {}, "expected surfaces or their files, got int"),
        ([a_plane()], {"labels": ["a", "b"]}, "expected one label for each surface, got 2 for 1"),
        ([a_plane(), a_surface({"train_loss": LOSS[0]})], {}, "lines and planes have no numbers in common"),
        ([a_plane()], {"metric": "absent"}, "the surface has no 'absent'"),
        ([a_plane()], {"metric": "train_accuracy", "vmax": 1.0}, "vmax is the highest loss"),
        ([a_plane(), a_surface({"test_loss": LOSS})], {}, "surface 2: the surface has no 'train_loss'"),
    ],
)
def test_what_cannot_be_compared_is_refused(surfaces: list[Any], options: dict[str, object], text: str) -> None:
    with pytest.raises(lossgrid.InputError) as caught:
        lossgrid.compare(*surfaces, **options)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert "--" not in str(caught.value)

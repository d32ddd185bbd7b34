import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hypothesis.extra.numpy as arrays_of
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import lossgrid
from lossgrid import plot, store
from lossgrid.errors import InputError
from lossgrid.formats import export_file
from lossgrid.formats.loss_landscape import import_file
from lossgrid.origin.merge import merge_files
from lossgrid.run.provenance import settings_to_resume
from lossgrid.settings import RunConfig, resolve
from lossgrid.surface import DONE, FAILED, NOT_FINITE, PENDING, Origin, Surface
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import a_network, a_surface

NAN = np.nan
QUICK = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

Loss = Callable[[Any, Any], Any]


def bowl(x: Any, y: Any) -> Any:
    return 0.5 + x**2 + 3 * (y - 0.2) ** 2


def points_in_its_order(x: np.ndarray, y: np.ndarray | None) -> Iterator[tuple[float, float]]:
    """Yield the points as the reference tool numbers them: those of a mesh, x first."""
    for at_y in (0.0,) if y is None else y:
        for at_x in x:
            yield at_x, at_y


def as_the_tool_computes(path: Path, x: Any, y: Any = None, *, loss: Loss = bowl, skip: tuple[int, ...] = ()) -> Path:
    """Write a file as the reference tool does: an array (n_x, n_y) of -1, filled by the number of the point."""
    x, y = np.asarray(x, dtype=float), None if y is None else np.asarray(y, dtype=float)
    losses = -np.ones(len(x) if y is None else (len(x), len(y)))
    accuracies = losses.copy()
    for number, (at_x, at_y) in enumerate(points_in_its_order(x, y)):
        if number not in skip:
            losses.ravel()[number] = loss(at_x, at_y)
            accuracies.ravel()[number] = 100 / (1 + loss(at_x, at_y))
    with h5py.File(path, "w") as file:
        file["dir_file"] = "model_300.t7_weights_xignore=biasbn_xnorm=filter.h5"
        file["xcoordinates"] = x
        if y is not None:
            file["ycoordinates"] = y
        file["train_loss"] = losses
        file["train_acc"] = accuracies
    return path


def as_its_plots_read(path: Path, name: str = "train_loss") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X, Y, Z as plot_2D draws them; contour takes them only where their shapes are equal."""
    with h5py.File(path, "r") as file:
        x, y, z = (np.array(file[key][:]) for key in ("xcoordinates", "ycoordinates", name))
    mesh_x, mesh_y = np.meshgrid(x, y)
    assert z.shape == mesh_x.shape == mesh_y.shape
    return mesh_x, mesh_y, z


def imported(path: Path, out: str = "s.h5") -> Surface:
    import_file(path, path.with_name(out), overwrite=False)
    return store.read(path.with_name(out))


# in


@pytest.mark.parametrize(("n_x", "n_y"), [(5, 5), (5, 3), (3, 5), (1, 4), (4, 1), (1, 1)])
def test_every_value_is_at_its_place(tmp_path: Path, n_x: int, n_y: int) -> None:
    x = np.linspace(-1, 1, n_x) if n_x > 1 else np.zeros(1)
    y = np.linspace(0, 1, n_y) if n_y > 1 else np.zeros(1)
    surface = imported(as_the_tool_computes(tmp_path / "r.h5", x, y))
    assert surface.shape == (n_y, n_x)
    for j, beta in enumerate(surface.beta):
        for i, alpha in enumerate(surface.alpha):
            assert surface["train_loss"][j, i] == bowl(alpha, beta)
            assert surface["train_accuracy"][j, i] == pytest.approx(1 / (1 + bowl(alpha, beta)), rel=1e-15)
    np.testing.assert_array_equal(surface.alpha, x)
    np.testing.assert_array_equal(surface.beta, y)


def test_of_grids_that_are_not_square_the_order_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    imported(as_the_tool_computes(tmp_path / "square.h5", [0, 1], [0, 1]), "a.h5")
    assert "order" not in caplog.text
    imported(as_the_tool_computes(tmp_path / "wide.h5", [0, 1, 2], [0, 1]), "b.h5")
    assert "train_loss has the shape (x, y) = (3, 2); read in the order in which loss-landscape computes" in caplog.text


def test_arrays_as_its_plots_take_them_are_read_so(tmp_path: Path) -> None:
    x, y = np.linspace(-1, 1, 4), np.linspace(0, 1, 3)
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["xcoordinates"], file["ycoordinates"] = x, y
        file["train_loss"] = bowl(x[None, :], y[:, None])
    surface = imported(tmp_path / "r.h5")
    np.testing.assert_array_equal(surface["train_loss"], bowl(x[None, :], y[:, None]))
    assert list(surface.quantities) == ["train_loss"]


def test_a_line_is_a_line(tmp_path: Path) -> None:
    surface = imported(as_the_tool_computes(tmp_path / "r.h5", np.linspace(-0.5, 1.5, 9), skip=(2,)))
    assert surface.is_line
    expected = bowl(surface.alpha, 0)
    expected[2] = NAN
    np.testing.assert_array_equal(surface["train_loss"], expected)
    assert surface.config["alpha"] == "-0.5:1.5:9"


def test_what_is_not_computed_is_pending(tmp_path: Path) -> None:
    def loss(x: Any, y: Any) -> Any:
        return {1.0: NAN, 2.0: np.inf, 3.0: 0.0}.get(x, 7.0)

    surface = imported(as_the_tool_computes(tmp_path / "r.h5", [0, 1, 2, 3, 4], [0, 1], loss=loss, skip=(0, 9)))
    np.testing.assert_array_equal(surface["train_loss"], [[NAN, NAN, np.inf, 0, 7], [7, NAN, np.inf, 0, NAN]])
    np.testing.assert_array_equal(surface.status, [[0, 2, 2, 1, 1], [1, 2, 2, 1, 0]])
    assert np.isnan(surface["train_accuracy"][0, 0])
    assert not surface.complete
    assert surface.finished is None
    assert np.isnan(surface.seconds).all()
    assert (surface.rank == -1).all()
    told = as_lines(summarise(surface))[0]
    assert told.endswith(": 2 x 5 points, incomplete, imported from a file of loss-landscape")  # nothing resumes it


def test_falling_coordinates_are_turned(tmp_path: Path) -> None:
    surface = imported(as_the_tool_computes(tmp_path / "r.h5", [1, 0, -1], [2, 1]))
    np.testing.assert_array_equal(surface.alpha, [-1, 0, 1])
    np.testing.assert_array_equal(surface.beta, [1, 2])
    np.testing.assert_array_equal(surface["train_loss"], bowl(surface.alpha[None, :], surface.beta[:, None]))


def test_where_it_comes_from_is_kept(tmp_path: Path) -> None:
    surface = imported(as_the_tool_computes(tmp_path / "r.h5", [-1, 0, 1], [0, 1, 4]))
    assert surface.provenance["imported"]["file"] == str(tmp_path / "r.h5")
    assert surface.provenance["imported"]["dir_file"].startswith("model_300.t7_weights")
    assert surface.config["directions"] == surface.provenance["imported"]["dir_file"]
    assert surface.config["alpha"] == "-1.0:1.0:3"
    assert surface.config["beta"] == "3 coordinates, not equally spaced"
    assert surface.config["splits"] == ["train"]
    assert surface.complete


def test_only_losses_and_accuracies_are_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = as_the_tool_computes(tmp_path / "r.h5", [0, 1], [0, 1])
    with h5py.File(path, "r+") as file:
        file["min_eig"] = file["max_eig"] = np.ones((2, 2))
        file["test_loss"] = np.full((2, 2), 3.0)
        file["test_acc"] = np.full((2, 2), -1.0)
    surface = imported(path)
    assert sorted(surface.quantities) == ["test_loss", "train_accuracy", "train_loss"]
    assert (surface.status == DONE).all()
    assert "max_eig, min_eig left out" in caplog.text


def test_the_result_can_be_looked_at(tmp_path: Path) -> None:
    surface = imported(as_the_tool_computes(tmp_path / "r.h5", np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)))
    text = "\n".join(as_lines(summarise(surface)))
    assert "4 x 5 points, complete, imported from a file of loss-landscape" in text
    assert "train_loss: 0.5" in text
    assert plot.draw(surface).axes
    assert export_file(tmp_path / "s.h5", to="csv").read_text().count("done") == 20


def test_a_run_does_not_go_on_with_it_and_merge_does_not_take_it(tmp_path: Path) -> None:
    surface = imported(as_the_tool_computes(tmp_path / "r.h5", [-1, 0, 1]))
    config = resolve(RunConfig, {"model": "mlp", "alpha": "-1:1:3", "out": tmp_path / "s.h5"})
    with pytest.raises(InputError, match="holds another run: model is imported there and mlp now"):
        settings_to_resume(surface, config)
    inputs, targets = torch.eye(2), torch.tensor([0, 1])
    lossgrid.evaluate(nn.Linear(2, 2), (inputs, targets), alpha="-1:1:3", out=tmp_path / "own.h5")
    with pytest.raises(InputError, match=r"own\.h5 does not belong to .*s\.h5: model is .*, not imported"):
        merge_files([tmp_path / "s.h5", tmp_path / "own.h5"], tmp_path / "m.h5", overwrite=False)
    other = as_the_tool_computes(tmp_path / "other.h5", [-2, -1.5])
    import_file(other, tmp_path / "t.h5", overwrite=False)
    with pytest.raises(InputError, match="does not belong to"):  # nothing says that they are of one network
        merge_files([tmp_path / "s.h5", tmp_path / "t.h5"], tmp_path / "m.h5", overwrite=False)


def spoilt(path: Path, **changes: Any) -> Path:
    as_the_tool_computes(path, [0, 1, 2], [0, 1])
    with h5py.File(path, "r+") as file:
        for name, array in changes.items():
            if name in file:
                del file[name]
            if array is not None:
                file[name] = array
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"xcoordinates": None}, "holds no xcoordinates; it is not a surface file of loss-landscape"),
        ({"xcoordinates": [0.0, NAN, 1.0]}, "xcoordinates must be finite numbers"),
        ({"ycoordinates": [[0.0], [1.0]]}, "ycoordinates must be finite numbers in one row, got shape (2, 1)"),
        ({"ycoordinates": [1.0, 1.0]}, "ycoordinates neither rise nor fall"),
        ({"ycoordinates": None}, "train_acc has shape (3, 2), expected (3,) of its coordinates"),
        ({"train_loss": np.ones((3, 3))}, "train_loss has shape (3, 3), expected (2, 3)"),
        ({"train_loss": None}, "holds no loss such as train_loss"),
        ({"train_acc": np.full((3, 2), 101.0)}, "expected train_acc in percent, or -1, got 101"),
        ({"train_acc": np.full((3, 2), -3.0)}, "expected train_acc in percent, or -1, got -3"),
    ],
)
def test_what_cannot_be_read_rightly_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    path = spoilt(tmp_path / "r.h5", **changes)
    with pytest.raises(InputError, match=re.escape(words)):
        imported(path)
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_other_kinds_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        imported(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match=r"text\.h5 is not an HDF5 file or is damaged"):
        imported(tmp_path / "text.h5")
    path = as_the_tool_computes(tmp_path / "r.h5", [0, 1])
    imported(path)
    with pytest.raises(InputError, match="is a surface of lossgrid already"):
        imported(tmp_path / "s.h5", "again.h5")
    store.write_directions(tmp_path / "d.h5", [{"w": np.ones(3)}], about={}, overwrite=False)
    with pytest.raises(InputError, match="is a direction file; lossgrid run --directions reads it as it is"):
        imported(tmp_path / "d.h5", "again.h5")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        imported(path, "again.h5")


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = as_the_tool_computes(tmp_path / "r.h5", [0, 1])
    other = as_the_tool_computes(tmp_path / "other.h5", [0, 1, 2])
    out = tmp_path / "s.h5"
    import_file(path, out, overwrite=False)
    before = out.read_bytes()
    with pytest.raises(InputError, match="exists; choose another file, or --overwrite"):
        import_file(other, out, overwrite=False)
    assert out.read_bytes() == before
    import_file(other, out, overwrite=True)
    assert store.read(out).shape == (3,)
    with pytest.raises(InputError, match="is the file to import, which is only read"):
        import_file(path, path, overwrite=True)
    with pytest.raises(InputError, match="not a lossgrid surface"):
        import_file(path, other, overwrite=True)
    with pytest.raises(InputError, match="is a folder"):
        import_file(path, tmp_path, overwrite=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.h5", "r.h5", "s.h5"]


@pytest.mark.slow
def test_the_command_imports_what_export_wrote(tmp_path: Path, start: Any) -> None:
    as_the_tool_computes(tmp_path / "r.h5", [0, 1, 2], [0, 1], skip=(4,))
    for arguments, said in (
        (["import", "r.h5", "--out", "a.h5"], "imported a.h5: 2 x 3 points of train_accuracy, train_loss, 1 pending"),
        (["export", "a.h5", "--to", "loss-landscape", "--out", "b.h5"], "1 of 6 points are pending"),
        (["import", "b.h5", "--out", "c.h5"], "imported c.h5"),
    ):
        done = start(0, "lossgrid", *arguments)
        assert done.returncode == 0
        assert said in done.stderr
    first, second = store.read(tmp_path / "a.h5"), store.read(tmp_path / "c.h5")
    np.testing.assert_array_equal(first["train_loss"], second["train_loss"])
    assert second.config["directions"] == first.config["directions"]
    refused = start(0, "lossgrid", "import", "a.h5", "--out", "d.h5")
    assert refused.returncode == 2
    assert refused.stderr == "lossgrid: error: a.h5 is a surface of lossgrid already; there is nothing to import\n"


# out


def surface_of(loss: Any, status: Any, accuracy: Any = None) -> Surface:
    loss = np.asarray(loss, dtype=np.float64)
    metrics = {"train_loss": loss} | ({} if accuracy is None else {"train_accuracy": np.asarray(accuracy)})
    return a_surface(
        metrics,
        beta=None if loss.ndim == 1 else np.linspace(0, 0.7, loss.shape[0]),
        status=status,
        units="",
        seconds=np.full(loss.shape, NAN, dtype=np.float32),
        rank=np.full(loss.shape, -1, dtype=np.int32),
        origin=Origin({"model": "mlp", "directions": "random"}),
        complete=False,
        finished=None,
    )


def exported(folder: Path, surface: Surface) -> Path:
    store.save(folder / "s.h5", surface, overwrite=True)
    return export_file(folder / "s.h5", to="loss-landscape", overwrite=True)


def test_its_plots_see_every_value_at_its_place(tmp_path: Path) -> None:
    loss = np.arange(1.0, 16).reshape(3, 5)
    path = exported(tmp_path, surface_of(loss, np.ones((3, 5)), accuracy=loss / 100))
    x, y, z = as_its_plots_read(path)
    np.testing.assert_array_equal(x[1], np.linspace(-1, 1, 5))
    np.testing.assert_array_equal(y[:, 2], np.linspace(0, 0.7, 3))
    np.testing.assert_array_equal(z, loss)
    np.testing.assert_allclose(as_its_plots_read(path, "train_acc")[2], loss)  # percent
    with h5py.File(path, "r") as file:
        assert set(file) == {"dir_file", "xcoordinates", "ycoordinates", "train_loss", "train_acc"}
        assert file["dir_file"][()] == b"random"
        assert dict(file.attrs) == {}


def test_its_plots_of_lines_find_what_they_look_for(tmp_path: Path) -> None:
    with h5py.File(exported(tmp_path, surface_of([3.0, 1.0, 2.0], [1, 1, 1])), "r") as file:
        assert "ycoordinates" not in file
        np.testing.assert_array_equal(file["xcoordinates"][:], [-1, 0, 1])
        np.testing.assert_array_equal(file["train_loss"][:], [3, 1, 2])
        np.testing.assert_array_equal(file["train_acc"][:], [-1, -1, -1])  # not known, but looked for


def test_it_would_compute_just_what_is_pending(tmp_path: Path) -> None:
    """Its scheduler takes the points whose loss is not above 0, numbered as they lie, at the points of a mesh."""
    status = np.array([[DONE, PENDING, DONE], [FAILED, NOT_FINITE, DONE]])
    path = exported(tmp_path, surface_of([[1, NAN, 2], [NAN, NAN, 3]], status))
    with h5py.File(path, "r") as file:
        x, y, losses = (file[name][:] for name in ("xcoordinates", "ycoordinates", "train_loss"))
    todo = np.flatnonzero(losses.ravel() <= 0)
    points = [list(points_in_its_order(x, y))[number] for number in todo]
    assert points == [(0.0, 0.0), (-1.0, 0.7)]


def test_losses_it_takes_for_not_computed_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    exported(tmp_path, surface_of([0.0, -2.0, 1.0, NAN], [1, 1, 1, 0]))
    assert "train_loss is not above 0 at 2 points" in caplog.text


@st.composite
def surfaces(draw: st.DrawFn) -> Surface:
    shape = draw(arrays_of.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=6))
    loss = draw(arrays_of.arrays(np.float64, shape, elements=st.floats(0, 1e300)))
    accuracy = draw(arrays_of.arrays(np.float64, shape, elements=st.floats(0, 1)))
    status = draw(arrays_of.arrays(np.uint8, shape, elements=st.sampled_from((PENDING, DONE, NOT_FINITE, FAILED))))
    unknown = np.isin(status, (PENDING, FAILED))
    loss[unknown], accuracy[unknown] = NAN, NAN
    loss[status == NOT_FINITE] = draw(st.sampled_from((NAN, np.inf)))
    return surface_of(loss, status, accuracy)


@pytest.mark.slow
@QUICK
@given(surface=surfaces())
def test_there_and_back_again_is_the_same_surface(tmp_path: Path, surface: Surface) -> None:
    path = exported(tmp_path, surface)
    import_file(path, tmp_path / "back.h5", overwrite=True)
    back = store.read(tmp_path / "back.h5")
    np.testing.assert_array_equal(back["train_loss"], surface["train_loss"])
    np.testing.assert_array_equal(back.alpha, surface.alpha)
    np.testing.assert_array_equal(back.status, np.where(surface.status == FAILED, PENDING, surface.status))
    if not np.isnan(surface["train_accuracy"]).all():
        np.testing.assert_allclose(back["train_accuracy"], surface["train_accuracy"], rtol=1e-15, atol=1e-300)
    assert back.is_line == surface.is_line
    if surface.beta is not None:
        np.testing.assert_array_equal(back.beta, surface.beta)


# its directions


def network() -> nn.Module:
    return a_network(statistics=True)


@pytest.mark.parametrize("kind", ["weights", "states"])
def test_a_run_goes_along_its_directions_of_both_types(tmp_path: Path, kind: str) -> None:
    """Type "weights" moves the parameters, "states" the running statistics of batch normalisation too."""
    model = network()
    entries = dict(model.named_parameters()) if kind == "weights" else model.state_dict()
    torch.manual_seed(1)
    direction = {name: 0.1 * torch.rand_like(tensor.detach().float()) for name, tensor in entries.items()}
    with h5py.File(tmp_path / "d.h5", "w") as file:
        for number, tensor in enumerate(direction.values()):
            file[f"xdirection/{number}"] = tensor.numpy()
    inputs, targets = torch.randn(6, 2, 3, 3), torch.arange(6) % 4
    surface = lossgrid.evaluate(model, (inputs, targets), alpha="-1:1:3", directions=tmp_path / "d.h5")
    for alpha, loss in zip(surface.alpha, surface["train_loss"], strict=True):
        moved = network()
        state = moved.state_dict()
        for name, tensor in direction.items():
            if state[name].is_floating_point():
                state[name] += alpha * tensor
        moved.load_state_dict(state)
        assert loss == pytest.approx(float(nn.functional.cross_entropy(moved(inputs), targets)), rel=1e-5)

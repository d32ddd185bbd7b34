"""Whole runs: their values, by whom and in whatever order they are computed."""

import json
import math
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lossgrid import data, models, store
from lossgrid.surface import DONE, NOT_FINITE, PENDING
from tests.conftest import launch, need_writer
from tests.families import family, further
from tests.programs import users
from tests.stream import number
from tests.system.conftest import METRICS, Inside, assert_same_bytes, values

pytestmark = pytest.mark.beside

PLANE = ("--alpha", "-1:1:5", "--beta", "-0.5:0.25:4")
SEEDS = ("--seed", "3", "--model-seed", "3")
RUN = ("--model", "users:net", "--data", "users:pictures", "--splits", "train,test", *PLANE, *SEEDS)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the surface as one process computes it, beside the directions it used."""
    folder = tmp_path_factory.mktemp("alone")
    done = launch(0, "lossgrid", "run", *RUN, "--save-directions", "directions.h5", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["directions.h5", "surface.h5"]
    return folder / "surface.h5"


def network() -> torch.nn.Module:
    """Build the network as a run does: from its seed."""
    torch.manual_seed(3)
    return users.net(in_channels=1, num_classes=10)


def reference_point(
    model: torch.nn.Module,
    delta: dict[str, np.ndarray],
    eta: dict[str, np.ndarray],
    alpha: float,
    beta: float,
    split: str,
) -> tuple[float, float]:
    """Compute one point slowly, in float64: each tensor moved by itself, each sample alone, sums exact."""
    moved = {name: tensor.double() for name, tensor in model.state_dict().items()}
    for name in moved:
        if name in delta:
            moved[name] = moved[name] + alpha * torch.from_numpy(delta[name]) + beta * torch.from_numpy(eta[name])
    twin = users.Net(1, 10).double().eval()
    twin.load_state_dict(moved)
    losses, correct = [], 0
    inputs, targets = users.pictures(split)
    for x, y in zip(inputs, targets, strict=True):
        with torch.no_grad():
            logits = twin(x[None].double())[0].tolist()
        top = max(logits)
        losses.append(top + math.log(math.fsum(math.exp(z - top) for z in logits)) - logits[int(y)])
        correct += logits.index(top) == int(y)
    return math.fsum(losses) / len(losses), correct / len(losses)


def reference_directions(model: torch.nn.Module, seed: int) -> list[dict[str, np.ndarray]]:
    """Draw and normalise filter by filter (Li et al. 2018, equation 1), in plain loops."""
    made = []
    for axis in (0, 1):
        direction = {}
        for name, parameter in model.named_parameters():
            numbers = [number(seed, axis, name, i) for i in range(parameter.numel())]
            drawn = np.array(numbers).reshape(tuple(parameter.shape))
            if parameter.ndim > 1:
                for d, w in zip(drawn, parameter.detach().double().numpy(), strict=True):
                    d *= math.sqrt(math.fsum(w.ravel() ** 2)) / (math.sqrt(math.fsum(d.ravel() ** 2)) + 1e-10)
                direction[name] = drawn
        made.append(direction)
    return made


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 2e-5), pytest.param("float64", 1e-12, marks=pytest.mark.any_mpi)]
)
def test_values_are_those_of_a_slow_reference(
    alone: Path, start: Any, tmp_path: Path, precision: str, tolerance: float
) -> None:
    path = alone
    if precision != "float32":
        path = tmp_path / "surface.h5"
        done = start(2, "lossgrid", "run", *RUN, "--precision", precision)
        assert done.returncode == 0, done.stderr
    model = network()
    delta, eta = reference_directions(model, seed=3)
    got = values(path)
    np.testing.assert_allclose(got["alpha"], [-1, -0.5, 0, 0.5, 1], atol=1e-15)
    np.testing.assert_allclose(got["beta"], [-0.5, -0.25, 0, 0.25], atol=1e-15)
    assert (got["status"] == DONE).all()
    for j, beta in enumerate(got["beta"]):
        for i, alpha in enumerate(got["alpha"]):
            for split in ("train", "test"):
                loss, accuracy = reference_point(model, delta, eta, alpha, beta, split)
                assert got[f"{split}_loss"][j, i] == pytest.approx(loss, rel=tolerance)
                assert got[f"{split}_accuracy"][j, i] == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize(
    ("ranks", "writer"),
    family(
        (1, 2, 3, 4), ("parallel", "root"),
        full=[(1, "root"), (2, "parallel"), (2, "root"), (3, "parallel")],
        any_mpi=[(1, "root"), (2, "root"), (3, "parallel")],
    ),
)  # fmt: skip
def test_the_same_bits_whoever_computes_and_writes(
    alone: Path, start: Any, tmp_path: Path, ranks: int, writer: str
) -> None:
    need_writer(writer)
    done = start(ranks, "lossgrid", "run", *RUN, "--writer", writer)
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "surface.h5")
    assert surface.complete
    assert surface.provenance["writer"] == writer
    assert surface.provenance["ranks"] == ranks
    assert set(np.unique(surface.rank)) <= set(range(ranks))
    assert_same_bytes(tmp_path / "surface.h5", alone)


@pytest.mark.parametrize(
    ("ranks", "grid"),
    family(
        (0, 1, 2, 4), (("--alpha", "0:1:2"), ("--alpha", "0:0:1"), ("--alpha", "0:1:2", "--beta", "0:0:1")),
        full=[
            (0, ("--alpha", "0:1:2", "--beta", "0:0:1")), (1, ("--alpha", "0:0:1")), (2, ("--alpha", "0:0:1")),
            (4, ("--alpha", "0:1:2")),
        ],
        any_mpi=[(4, ("--alpha", "0:1:2"))],
    ),
)  # fmt: skip
def test_grids_with_fewer_points_than_ranks(start: Any, tmp_path: Path, ranks: int, grid: tuple[str, ...]) -> None:
    done = start(ranks, "lossgrid", "run", "--model", "users:net", "--data", "users:pictures", *grid)
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "surface.h5")
    assert surface.complete
    assert (surface.status == DONE).all()
    assert np.isfinite(surface["train_loss"]).all()
    assert surface.shape == ((1, 2) if "--beta" in grid else (int(grid[1].split(":")[2]),))


@pytest.mark.any_mpi
def test_order_and_balance_do_not_change_a_bit(alone: Path, start: Any, tmp_path: Path) -> None:
    """With a slow rank 0 the points are computed in quite another order, by others."""
    slow = [part if part != "cross_entropy" else "users:slow_on_root" for part in RUN]
    done = start(3, "lossgrid", "run", *slow, "--loss", "users:slow_on_root")
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "surface.h5")
    assert np.count_nonzero(surface.rank == 0) < surface.status.size / 3
    assert_same_bytes(tmp_path / "surface.h5", alone)


def test_a_run_of_a_complete_file_computes_nothing(alone: Path, start: Any, tmp_path: Path) -> None:
    content = alone.read_bytes()
    (tmp_path / "surface.h5").write_bytes(content)
    again = start(0, "lossgrid", "run", *RUN)
    assert again.returncode == 0
    assert "0 of 20 points are pending" in again.stderr
    assert (tmp_path / "surface.h5").read_bytes() == content


def test_saved_directions_give_the_same_surface(alone: Path, inside: Inside, tmp_path: Path) -> None:
    run = [part for part in RUN if part not in SEEDS]
    torch.save(network().state_dict(), tmp_path / "net.pt")
    directions = alone.parent / "directions.h5"
    done = inside("run", *run, "--checkpoint", "net.pt", "--directions", directions)
    assert done.returncode == 0, done.stderr
    assert_same_bytes(tmp_path / "surface.h5", alone)


def test_the_directions_verb_makes_what_a_run_uses(alone: Path, inside: Inside, tmp_path: Path) -> None:
    done = inside("directions", "--model", "users:net", "--data", "users:pictures", *SEEDS)
    assert done.returncode == 0, done.stderr
    made, saved = (store.read_directions(path) for path in (tmp_path / "directions.h5", alone.parent / "directions.h5"))
    assert len(made) == len(saved) == 2
    for one, other in zip(made, saved, strict=True):
        assert one.names == other.names
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one.arrays, other.arrays, strict=True))


def save_networks(folder: Path, count: int) -> list[torch.nn.Module]:
    """Save networks that differ in parameters and statistics."""
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        networks.append(users.net(1, 10).eval())
        torch.save({"state_dict": networks[-1].state_dict()}, folder / f"{seed}.pt")
    return networks


def exact_loss(model: torch.nn.Module) -> float:
    inputs, targets = users.pictures("train")
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(model.double()(inputs.double()), targets))


def test_a_line_between_two_networks_meets_both(start: Any, tmp_path: Path) -> None:
    first, second = save_networks(tmp_path, 2)
    run = ("--model", "users:net", "--data", "users:pictures", "--checkpoint", "0.pt", "--precision", "float64")
    done = start(2, "lossgrid", "run", *run, "--to", "1.pt", "--alpha", "0:1:3")
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "surface.h5")
    assert surface.is_line
    assert surface["train_loss"][0] == pytest.approx(exact_loss(first), rel=1e-12)
    assert surface["train_loss"][2] == pytest.approx(exact_loss(second), rel=1e-9)
    middle = {n: (t + second.state_dict()[n]) / 2 for n, t in first.state_dict().items() if t.is_floating_point()}
    first.load_state_dict(middle, strict=False)
    assert surface["train_loss"][1] == pytest.approx(exact_loss(first), rel=1e-9)


def test_a_plane_through_three_networks_meets_all(inside: Inside, tmp_path: Path) -> None:
    networks = save_networks(tmp_path, 3)
    run = ("--model", "users:net", "--data", "users:pictures", "--checkpoint", "0.pt", "--precision", "float64")
    done = inside("run", *run, "--to", "1.pt", "--to", "2.pt", "--alpha", "0:1:2", "--beta", "0:1:2")
    assert done.returncode == 0, done.stderr
    loss = store.read(tmp_path / "surface.h5")["train_loss"]
    corners = [loss[0, 0], loss[0, 1], loss[1, 0]]
    np.testing.assert_allclose(corners, [exact_loss(network) for network in networks], rtol=1e-9)


def test_settings_of_a_file_and_the_command_line_that_wins(inside: Inside, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'model = "mlp"\ndata = "users:pictures"\nalpha = "-1:1:9"\nmax-samples = 7\nsplits = "train,test"\n'
        "[model-arg]\nhidden = [5]\n"
    )
    done = inside("run", "--config", "run.toml", "--alpha=-1:1:3", "--out", "here.h5")
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "here.h5", "r") as file:
        config = json.loads(file.attrs["config"])
        assert file["test_loss"].shape == (3,)
    assert config["alpha"] == "-1.0:1.0:3"
    assert config["model_arg"] == {"hidden": [5]}
    assert config["max_samples"] == 7


@pytest.mark.parametrize("spelling", [["--alpha=-1:1:3"], further(["--alpha", "-1:1:3"])])
def test_negative_ranges_in_both_spellings(inside: Inside, tmp_path: Path, spelling: list[str]) -> None:
    done = inside("run", "--model", "mlp", "--data", "users:pictures", *spelling)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(store.read(tmp_path / "surface.h5").alpha, [-1, 0, 1])


def test_points_that_overflow_are_marked_and_not_pending(start: Any, tmp_path: Path) -> None:
    done = start(2, "lossgrid", "run", "--model", "users:net", "--data", "users:pictures", "--alpha", "0:1e30:2")
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "surface.h5")
    assert surface.status.tolist() == [DONE, NOT_FINITE]
    assert surface.complete
    assert "1 point has a loss that is not finite" in done.stderr


def test_status_and_pictures(alone: Path, inside: Inside, tmp_path: Path) -> None:
    said = inside("status", alone)
    assert said.returncode == 0
    assert "4 x 5 points of users:net, complete" in said.stdout
    report = json.loads(inside("status", alone, "--json").stdout)
    assert (report["done"], report["pending"], report["complete"]) == (20, 0, True)
    assert report["metrics"]["train_loss"]["centre"] == pytest.approx(values(alone)["train_loss"][2, 2])
    drawn = inside("plot", alone, "--kind", "contour", "--out", tmp_path / "c.pdf")
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


def test_plot_draws_beside_the_file(start: Any, tmp_path: Path) -> None:
    run = ("--model", "mlp", "--data", "users:pictures", "--alpha", "-1:1:5")
    done = start(2, "lossgrid", "run", *run, "--plot")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "surface_line.png").read_bytes().startswith(b"\x89PNG")


def test_the_values_of_a_published_network(shared: Path, start: Any, tmp_path: Path) -> None:
    """ResNet-20 of akamaster/pytorch_resnet_cifar10 on 500 real pictures, against the plain module in float64."""
    pytest.importorskip("PIL")
    import subprocess
    import sys

    unpack = [sys.executable, shared / "cifar10" / "unpack.py", tmp_path / "cifar", "--train", "10", "--test", "500"]
    subprocess.run(unpack, check=True, stdout=subprocess.DEVNULL)
    checkpoint = shared / "checkpoints" / "resnet20-12fca82f.th"
    done = start(
        2, "lossgrid", "run", "--model", "resnet20", "--model-arg", "shortcut=pad", "--checkpoint", checkpoint,
        "--data", f"cifar10:{tmp_path / 'cifar'}", "--data-arg", "normalize=imagenet", "--splits", "test",
        "--alpha", "0:0:1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = models.build("resnet20", {"shortcut": "pad"}, facts={})
    models.load_state(model, models.read_checkpoint(checkpoint), source="published")
    split = data.load(f"cifar10:{tmp_path / 'cifar'}", {"normalize": "imagenet"}, splits=("test",))["test"]
    inputs, targets = split.tensors or ()
    with torch.no_grad():
        logits = model.double().eval()(inputs.double())
    surface = store.read(tmp_path / "surface.h5")
    loss = float(torch.nn.functional.cross_entropy(logits, targets))
    assert surface["test_loss"][0] == pytest.approx(loss, rel=1e-5)
    assert surface["test_accuracy"][0] == pytest.approx(float((logits.argmax(1) == targets).double().mean()), abs=1e-12)
    assert 0.7 < surface["test_accuracy"][0] < 0.9


def test_metrics_are_the_promised_ones(alone: Path) -> None:
    assert set(METRICS) == set(store.read(alone).quantities)


def test_how_points_were_evaluated_stands_in_the_file(alone: Path, start: Any, tmp_path: Path) -> None:
    path = tmp_path / "surface.h5"
    done = start(2, "lossgrid", "run", *RUN, "--variant", "plain", "--batch-size", 7)
    assert done.returncode == 0, done.stderr
    chosen, set_by_hand = store.read(alone).provenance["recipe"], store.read(path).provenance["recipe"]
    assert (chosen["variant"], chosen["batch_size"], chosen["cuda_graphs"]) == ("fused", 60, False)
    assert (set_by_hand["variant"], set_by_hand["batch_size"]) == ("plain", 7)
    assert "1 normalisation folded, 1 layer fused with what follows" in chosen["about"]
    np.testing.assert_allclose(values(path)["train_loss"], values(alone)["train_loss"], rtol=1e-5)


@pytest.mark.parametrize("variant", [pytest.param("plain", marks=pytest.mark.any_mpi), further("folded")])
def test_a_resumed_run_keeps_to_what_the_file_says(start: Any, inside: Inside, tmp_path: Path, variant: str) -> None:
    path = tmp_path / "surface.h5"
    by_hand = ("--variant", variant, "--batch-size", 7)
    assert inside("run", *RUN, *by_hand).returncode == 0
    whole = values(path)
    with h5py.File(path, "r+") as file:  # as if the run had been stopped
        file["status"][1:] = PENDING
        file["train_loss"][1:] = np.nan
        file.attrs.modify("complete", 0)
    refused = inside("run", *RUN, "--variant", "fused")
    assert refused.returncode == 2
    assert f"variant is {variant} there and fused now" in refused.stderr
    again = start(2, "lossgrid", "run", *RUN)
    assert again.returncode == 0, again.stderr
    assert f"variant {variant}" in again.stderr
    assert values(path)["train_loss"].tobytes() == whole["train_loss"].tobytes()


def test_a_variant_that_cannot_be_is_refused(start: Any, inside: Inside, tmp_path: Path) -> None:
    run = ("run", "--model", "mlp", "--data", "users:pictures")
    for ranks, options, words in (
        (2, ("--variant", "folded"), "--variant folded: no normalisation follows a layer"),
        (
            0,
            ("--variant", "fused", "--precision", "float64"),
            "--variant fused: there are no fused kernels for float64",
        ),
        (0, ("--cuda-graphs", "yes"), "--cuda-graphs yes: this is no CUDA device"),
    ):
        refused = start(ranks, "lossgrid", *run, *options) if ranks else inside(*run, *options)
        assert refused.returncode == 2
        assert words in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_ranks_compute_compiled_networks_alike(alone: Path, start: Any, tmp_path: Path) -> None:
    done = start(2, "lossgrid", "run", *RUN, "--variant", "compiled")
    assert done.returncode == 0, done.stderr
    assert "compiled by torch.compile" in done.stderr
    np.testing.assert_allclose(values(tmp_path / "surface.h5")["train_loss"], values(alone)["train_loss"], rtol=1e-5)


@pytest.mark.parametrize("ranks", [0, 2, further(3)])
def test_a_lower_precision_tells_its_own_error(start: Any, tmp_path: Path, ranks: int) -> None:
    run = ("--model", "users:net", "--data", "users:pictures", *PLANE, *SEEDS)
    done = start(ranks, "lossgrid", "run", *run, "--precision", "bfloat16")
    assert done.returncode == 0, done.stderr
    low = store.read(tmp_path / "surface.h5")
    assert low.rounding is not None
    assert "bfloat16 differs from float32" in done.stderr
    exact = start(ranks, "lossgrid", "run", *run, "--variant", "plain", "--out", "exact.h5")
    assert exact.returncode == 0, exact.stderr
    high = store.read(tmp_path / "exact.h5")
    assert high.rounding is None
    where = tuple(np.array(low.rounding["points"]).T)
    differences = np.abs(low["train_loss"] / high["train_loss"] - 1)[where]
    assert low.rounding["largest"]["train_loss"] == pytest.approx(differences.max(), rel=1e-6)
    assert 0 < differences.max() < 0.1


CROWD = "threads share"


@pytest.mark.parametrize("ranks", [0, further(1), 2])
def test_ranks_with_cores_of_their_own_are_not_warned(start: Any, ranks: int) -> None:
    if ranks > (os.cpu_count() or 1):
        pytest.skip(f"NOT RUN: needs {ranks} cores")
    done = start(ranks, "lossgrid", "run", "--model", "mlp", "--alpha", "0:1:2")
    assert done.returncode == 0, done.stderr
    for words in (CROWD, "are idle", "container", "SLURM"):
        assert words not in done.stderr


@pytest.mark.parametrize("ranks", [0, 2])
def test_crowded_cores_are_said_once_before_the_work(start: Any, ranks: int) -> None:
    threads = str(os.cpu_count() + 1)  # type: ignore[operator]
    done = start(ranks, "lossgrid", "run", "--model", "mlp", "--alpha", "0:1:2", env={"OMP_NUM_THREADS": threads})
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(CROWD) == 1
    assert f"OMP_NUM_THREADS={threads} asks for them: unset it" in done.stderr
    assert done.stderr.index(CROWD) < done.stderr.index("computing surface.h5")
    assert "surface.h5 is complete" in done.stderr


def test_a_run_loads_no_library_that_it_does_not_need(start: Any, program: Any) -> None:
    """They take seconds at every start: SymPy comes with parts of torch.fx, scikit-learn with its digits."""
    done = start(0, program("loaded.py"), "run", "--model", "mlp", "--data", "digits", "--alpha", "-1:1:3")
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.partition("loaded: ")[2].split()
    assert "torch" in loaded
    assert not {"sympy", "sklearn", "scipy", "pandas", "matplotlib", "plotly"} & set(loaded)

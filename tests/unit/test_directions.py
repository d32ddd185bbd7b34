import math
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lossgrid import directions, store
from lossgrid.errors import InputError
from tests.builders import a_network


def drawn(axis: int = 0, seed: int = 7, bias: bool = False) -> directions.Entries:
    theta = directions.parameters(a_network())
    return directions.gaussian(theta, seed=seed, axis=axis, perturb_bias_and_norm=bias)


def test_random_directions_leave_biases_and_normalisation_alone() -> None:
    assert list(drawn()) == ["0.weight", "3.weight"]
    assert list(drawn(bias=True)) == ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]


def test_moving_biases_too_leaves_the_rest_of_the_direction() -> None:
    with_biases = drawn(bias=True)
    for name, tensor in drawn().items():
        assert torch.equal(tensor, with_biases[name])


def test_seed_and_axis_decide_and_nothing_else() -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    assert all(torch.equal(a, b) for a, b in zip(drawn().values(), drawn().values(), strict=True))
    assert not torch.equal(drawn()["0.weight"], drawn(axis=1)["0.weight"])
    assert not torch.equal(drawn()["0.weight"], drawn(seed=8)["0.weight"])


def test_random_numbers_are_normal() -> None:
    direction = directions.gaussian({"w": torch.zeros(200, 500)}, seed=1, axis=0)["w"]
    assert abs(float(direction.mean())) < 5 / math.sqrt(1e5)
    assert abs(float(direction.var()) - 1) < 5 * math.sqrt(2 / 1e5)


def reference_norm(tensor: torch.Tensor) -> float:
    return math.sqrt(math.fsum(float(x) ** 2 for x in tensor.flatten()))


def test_filter_normalisation_gives_each_filter_its_norm() -> None:
    theta = directions.parameters(a_network())
    direction = directions.normalise(drawn(bias=True), theta, "filter")
    for name in ("0.weight", "3.weight"):
        for d, w in zip(direction[name], theta[name], strict=True):
            assert reference_norm(d) == pytest.approx(reference_norm(w), rel=1e-7)
    for name in ("0.bias", "1.weight", "3.bias"):
        assert reference_norm(direction[name]) == pytest.approx(reference_norm(theta[name]), rel=1e-7)
    raw = drawn(bias=True)["0.weight"][1]
    scale = reference_norm(theta["0.weight"][1]) / (reference_norm(raw) + 1e-10)
    np.testing.assert_allclose(direction["0.weight"][1].numpy(), raw.numpy() * scale, rtol=1e-14)


def test_layer_weight_and_no_normalisation() -> None:
    theta, raw = directions.parameters(a_network()), drawn()
    layer = directions.normalise(raw, theta, "layer")
    weight = directions.normalise(raw, theta, "weight")
    none = directions.normalise(raw, theta, "none")
    for name, d in raw.items():
        w = theta[name].double()
        np.testing.assert_allclose(layer[name], d * (reference_norm(w) / (reference_norm(d) + 1e-10)), rtol=1e-13)
        assert torch.equal(weight[name], d * w)
        assert torch.equal(none[name], d)


def test_a_filter_of_zeros_does_not_move() -> None:
    theta = {"w": torch.tensor([[0.0, 0.0], [3.0, 4.0]])}
    direction = directions.normalise({"w": torch.tensor([[1.0, 2.0], [0.0, 1.0]])}, theta, "filter")["w"]
    np.testing.assert_allclose(direction, [[0.0, 0.0], [0.0, 5.0]], rtol=1e-9)


def test_difference_moves_parameters_and_statistics_not_counters() -> None:
    start, end = a_network(), a_network()
    with torch.no_grad():
        for tensor in (*end.parameters(), end[1].running_mean, end[1].running_var):
            tensor.add_(0.25)
        end[1].num_batches_tracked.add_(5)
    difference = directions.difference(directions.states(start), directions.states(end), source="b.pt")
    assert "1.running_var" in difference
    assert "1.num_batches_tracked" not in difference
    for tensor in difference.values():
        np.testing.assert_allclose(tensor, 0.25, rtol=1e-6)


def test_no_difference_is_refused() -> None:
    states = directions.states(a_network())
    with pytest.raises(InputError, match=r"b\.pt holds the same network"):
        directions.difference(states, states, source="b.pt")


def test_own_file_brings_back_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "d.h5"
    delta, eta = drawn(0), drawn(1)
    arrays = [{name: tensor.numpy() for name, tensor in one.items()} for one in (delta, eta)]
    store.write_directions(path, arrays, about={"seed": 7}, overwrite=False)
    for stored, expected in zip(store.read_directions(path), (delta, eta), strict=True):
        matched = directions.match(stored.arrays, stored.names, a_network(), source="d.h5")
        assert list(matched) == list(expected)
        assert all(torch.equal(matched[name], expected[name]) for name in expected)
    with pytest.raises(InputError, match="exists"):
        store.write_directions(path, arrays, about={}, overwrite=False)


def reference_tool_file(path: Path, tensors: list[torch.Tensor], groups: tuple[str, ...] = ("xdirection",)) -> None:
    """Write a file as the reference tool does: numbered datasets of a list of tensors, no names."""
    with h5py.File(path, "w") as file:
        for name in groups:
            group = file.create_group(name)
            for number, tensor in enumerate(tensors):
                group.create_dataset(str(number), data=tensor.numpy())


def test_files_of_the_reference_tool_of_type_weights(tmp_path: Path) -> None:
    model = a_network()
    tensors = [torch.full_like(p, float(i)) for i, p in enumerate(model.parameters())]
    reference_tool_file(tmp_path / "d.h5", tensors, ("xdirection", "ydirection"))
    stored = store.read_directions(tmp_path / "d.h5")
    assert len(stored) == 2
    matched = directions.match(stored[0].arrays, stored[0].names, model, source="d.h5")
    assert list(matched) == [name for name, _ in model.named_parameters()]
    assert [float(t.flatten()[0]) for t in matched.values()] == list(map(float, range(6)))


def test_files_of_the_reference_tool_of_type_states(tmp_path: Path) -> None:
    model = a_network()
    tensors = [torch.full_like(t, 3).float() for t in model.state_dict().values()]
    reference_tool_file(tmp_path / "d.h5", tensors)
    (stored,) = store.read_directions(tmp_path / "d.h5")
    matched = directions.match(stored.arrays, stored.names, model, source="d.h5")
    assert set(matched) == {n for n in model.state_dict() if "num_batches" not in n}
    assert all((t == 3).all() for t in matched.values())


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda tensors: tensors[:-1], "another network: it holds 5 tensors"),
        (lambda tensors: [*tensors[:-1], torch.zeros(5)], "3.bias has shape (5,), expected (4,)"),
        (lambda tensors: [*tensors[:-1], torch.full((4,), math.nan)], "not finite"),
    ],
)
def test_directions_of_another_network_are_refused(spoil: object, words: str) -> None:
    model = a_network()
    tensors = spoil([torch.zeros_like(p) for p in model.parameters()])  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        directions.match([t.numpy() for t in tensors], None, model, source="d.h5")
    assert words in str(caught.value)


def test_names_another_network_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match="no 'conv9'"):
        directions.match([np.zeros(3)], ["conv9"], a_network(), source="d.h5")


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n damaged"])
def test_what_is_no_direction_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.h5"):
        store.read_directions(path)


def test_hdf5_without_directions_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="xdirection"):
        store.read_directions(tmp_path / "d.h5")


@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_direction_file_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    notes, pipe = tmp_path / "notes.h5", tmp_path / "pipe.h5"
    notes.write_text("mine")
    os.mkfifo(pipe)
    for path in (notes, pipe, tmp_path):
        with pytest.raises(InputError, match="direction file"):
            store.write_directions(path, [{"w": np.ones(3)}], about={}, overwrite=overwrite)
    assert notes.read_text() == "mine"
    assert pipe.is_fifo()

"""Random directions of version 2: every number by its counter, as docs/directions.md defines them; and of version 1."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import lossgrid
from lossgrid import directions
from lossgrid.directions.stream import PIECE, logarithm, normal, quantile, words
from lossgrid.errors import InputError
from tests.builders import a_batch, a_perceptron
from tests.conftest import ROOT
from tests.stream import NORMAL, quantile_of, word


def vectors() -> list[tuple[int, int, str, int, int, float]]:
    rows = re.findall(
        r"^\| (\d+) \| ([01]) \| `([^`]+)` \| (\d+) \| `([0-9a-f]{16})` \| (\S+) \|$",
        (ROOT / "docs" / "directions.md").read_text(),
        re.MULTILINE,
    )
    return [(int(s), int(a), name, int(i), int(w, 16), float(x)) for s, a, name, i, w, x in rows]


def test_the_documented_numbers_are_those_of_another_implementation() -> None:
    found = vectors()
    assert len(found) >= 6
    for seed, axis, name, i, expected, number in found:
        assert word(seed, axis, name, i) == expected
        assert number == pytest.approx(quantile_of(expected), rel=4e-15)


@pytest.mark.parametrize("vector", vectors(), ids=str)
def test_the_documented_numbers_are_drawn_to_the_bit(vector: tuple[int, int, str, int, int, float]) -> None:
    seed, axis, name, i, expected, number = vector
    assert words(seed, axis, name, 1, start=i).tolist() == [expected]
    assert normal(seed, axis, name, 1, start=i).tolist() == [number]


def test_every_number_can_be_drawn_alone() -> None:
    whole = normal(3, 1, "w", PIECE + 40)
    assert whole.dtype == np.float64
    for start, count in ((0, 1), (1, 3), (7, 9), (PIECE - 2, 5), (PIECE + 39, 1), (10, 0)):
        np.testing.assert_array_equal(normal(3, 1, "w", count, start=start), whole[start : start + count])
    assert [hex(word(3, 1, "w", i)) for i in range(9)] == list(map(hex, words(3, 1, "w", 9).tolist()))


def test_quantiles_agree_with_another_implementation_everywhere() -> None:
    random = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)
    edges = [0, 1 << 11, 2**63 - 1, 2**63, 2**64 - (1 << 12)]  # the ends, the middle
    for value in (0.425, 0.075, math.exp(-25.0)):  # where one formula follows another
        edges += [int((0.5 - value) * 2**53 + step) << 11 for step in (-1, 0, 1)] if value > 0.1 else []
        edges += [int(value * 2**53 + step) << 11 for step in (-1, 0, 1)]
    picked = np.concatenate([random, np.array(edges, dtype=np.uint64)])
    expected = [quantile_of(int(w)) for w in picked]
    np.testing.assert_allclose(quantile(picked), expected, rtol=4e-15)


def test_quantiles_are_odd() -> None:
    random = np.random.default_rng(1).integers(0, 2**64, 5_000, dtype=np.uint64)
    np.testing.assert_array_equal(quantile(random), -quantile(~random))
    assert quantile(np.array([2**64 - 1], dtype=np.uint64))[0] == pytest.approx(8.2923611)


def test_logarithms_are_those_of_the_library_but_for_the_last_bits() -> None:
    x = np.concatenate([np.exp(np.random.default_rng(2).uniform(-40, 0, 10_000)), [2.0**-54, 0.5, math.sqrt(0.5)]])
    np.testing.assert_allclose(logarithm(x), [math.log(value) for value in x], rtol=1e-15)


def test_the_numbers_are_normal() -> None:
    drawn = normal(0, 0, "w", 1_000_000)
    n = len(drawn)
    assert abs(drawn.mean()) < 4 / math.sqrt(n)
    assert abs(drawn.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((drawn**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((drawn**4).mean() - 3) < 4 * math.sqrt(96 / n)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / math.sqrt(n)
    expected = np.diff([NORMAL.cdf(edge) for edge in range(-4, 5)]) * n
    counts, _ = np.histogram(drawn, bins=range(-4, 5))
    assert (((counts - expected) ** 2) / expected).sum() < 30  # chi-square with 7 degrees, p < 1e-4


@pytest.mark.parametrize("other", [(1, 0, "w"), (0, 1, "w"), (0, 0, "v"), (0, 0, "w\n")])
def test_seed_axis_and_name_make_streams_that_have_nothing_in_common(other: tuple[int, int, str]) -> None:
    a, b = normal(0, 0, "w", 100_000), normal(*other, 100_000)
    assert not np.isin(b, a).any()
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(len(a))


def test_the_numbers_of_a_parameter_do_not_depend_on_which_others_there_are() -> None:
    both = directions.gaussian({"a.weight": torch.zeros(3, 5), "b.weight": torch.zeros(2, 2, 2)}, seed=4, axis=0)
    for name, tensor in both.items():
        alone = directions.gaussian({name: torch.zeros(tensor.shape)}, seed=4, axis=0)
        assert torch.equal(alone[name], tensor)
    np.testing.assert_array_equal(both["a.weight"].numpy().ravel(), normal(4, 0, "a.weight", 15))


def test_complex_numbers_take_two() -> None:
    drawn = directions.gaussian({"w": torch.zeros(2, 3, dtype=torch.complex64)}, seed=1, axis=1)["w"]
    assert drawn.dtype == torch.complex128
    np.testing.assert_array_equal(torch.view_as_real(drawn).numpy().ravel(), normal(1, 1, "w", 12))


# version 1


def test_version_1_is_drawn_as_before() -> None:
    theta = directions.parameters(a_perceptron(3, 4, 3))
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, 1])))
    expected = {name: generator.standard_normal(tensor.shape) for name, tensor in theta.items()}
    drawn = directions.gaussian(theta, seed=7, axis=1, version=1)
    assert list(drawn) == ["0.weight", "2.weight"]
    for name, tensor in drawn.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name])


def test_a_surface_of_version_1_goes_on_with_its_directions(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 0])))
    theta = directions.parameters(a_perceptron(3, 4, 3))
    drawn = {name: torch.from_numpy(generator.standard_normal(tensor.shape)) for name, tensor in theta.items()}
    moved = {name: tensor for name, tensor in drawn.items() if tensor.ndim > 1}
    delta = directions.normalise(moved, theta, "filter")
    data = a_batch(12, 3, classes=3)
    expected = lossgrid.evaluate(a_perceptron(3, 4, 3), data, alpha="-1:1:5", directions=[delta])

    lossgrid.evaluate(a_perceptron(3, 4, 3), data, alpha="-1:1:5", seed=3, out=path)
    assert not np.array_equal(lossgrid.open(path)["train_loss"], expected["train_loss"])
    path.unlink()
    first = lossgrid.evaluate(a_perceptron(3, 4, 3), data, alpha="-1:1:5", directions=[delta], out=path)
    with h5py.File(path, "r+") as file:  # as it was left by a stop before there was version 2
        config = json.loads(file.attrs["config"])
        config |= {"directions": "random", "seed": 3}
        for name in ("model_seed", "direction_version"):
            del config[name]
        file.attrs["config"] = json.dumps(config)
        file.attrs.modify("complete", 0)
        file["status"][3:] = 0
        file["train_loss"][3:] = np.nan
    whole = lossgrid.evaluate(a_perceptron(3, 4, 3), data, alpha="-1:1:5", seed=3, out=path)
    assert whole.complete
    np.testing.assert_array_equal(whole["train_loss"], first["train_loss"])
    assert "direction_version" not in whole.config
    with pytest.raises(InputError, match="seed is 3 there and 4 now"):
        lossgrid.evaluate(a_perceptron(3, 4, 3), data, alpha="-1:1:5", seed=4, out=path)

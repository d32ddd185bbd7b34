"""Estimates on fewer samples: which ones are drawn, what they cost, and the surface that they make with corrections."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from lossgrid import data
from lossgrid.data.batches import Collated, Resident, Stream
from lossgrid.data.fewer import chosen, fewer
from lossgrid.data.transfer import Transfer
from lossgrid.evaluation import with_fewer
from lossgrid.sampling import Picture, Refine, Tolerance
from lossgrid.sampling.audit import MOST_WRONG
from lossgrid.sampling.ruler import Ruler
from lossgrid.surface import Axis, Grid, Results, Work
from lossgrid.surface.quantity import accuracy, loss
from tests.builders import a_batch, a_direction, a_perceptron, an_evaluator

Array = npt.NDArray[np.float64]
LOSS, ACCURACY = loss("train"), accuracy("train")
CPU = torch.device("cpu")

# which samples


@pytest.mark.parametrize("count", [1, 3, 10, 50, 299])
def test_every_class_has_its_share(count: int) -> None:
    classes = np.repeat([0, 1, 2], [200, 80, 20])[np.random.default_rng(1).permutation(300)]
    found = collections.Counter(classes[chosen(classes, 300, count, "a run")].tolist())
    for one, share in ((0, 200 / 300), (1, 80 / 300), (2, 20 / 300)):
        assert abs(found[one] - share * count) <= 1


@pytest.mark.parametrize("classes", [None, np.arange(100) % 7])
def test_more_samples_include_those_of_fewer_and_each_comes_once(classes: Any) -> None:
    drawn = [chosen(classes, 100, count, "a run") for count in (5, 20, 100)]
    assert set(drawn[0]) < set(drawn[1]) < set(drawn[2]) == set(range(100))
    assert all(one == sorted(set(one)) for one in drawn)
    assert drawn[1] == chosen(classes, 100, 20, "a run")
    assert drawn[1] != chosen(classes, 100, 20, "another run")


def test_without_classes_all_samples_are_as_likely() -> None:
    counts = np.zeros(20)
    for run in range(2000):
        counts[chosen(None, 20, 5, str(run))] += 1
    assert np.abs(counts - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


class Rows(Dataset):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((3,), float(index)), index % 4


def batches_of(given: Any, *, size: int = 8, collate: Any = None) -> data.Batches:
    split = data.split_of(given, source="test", collate=collate)
    return data.to_device(split, device=CPU, dtype=torch.float32, batch_size=size, channels_last=True)


def together(samples: list[Any]) -> Any:
    return torch.stack([one for one, _ in samples]), torch.tensor([other for _, other in samples])


def rows_of(batches: data.Batches) -> list[float]:
    return [float(row[0]) for batch in batches for row in batch.inputs]


@pytest.mark.parametrize("kind", ["tensors", "dict", "dataset", "streamed", "collated"])
def test_any_kind_of_data_is_cut_down(kind: str) -> None:
    inputs = torch.arange(40.0).reshape(40, 1).repeat(1, 3)
    whole: data.Batches
    if kind == "streamed":
        resident = batches_of(Rows())
        split = data.split_of(Rows(), source="test")
        whole = Stream(split, Transfer(CPU, torch.float32, True), 8)
        assert resident.samples == whole.samples
    elif kind == "collated":
        whole = batches_of(Rows(), collate=together)
    else:
        pair = (inputs, torch.arange(40) % 4)
        whole = batches_of({"tensors": pair, "dict": ({"x": inputs}, pair[1]), "dataset": Rows()}[kind])
    few = fewer(whole, 12, "a run")
    assert isinstance(few, Collated if kind == "collated" else Resident)
    assert (few.samples if kind != "collated" else sum(batch.samples for batch in few)) == 12
    if kind != "dict":
        assert len(set(rows_of(few))) == 12
    for batch in few:
        values = batch.inputs["x"] if kind == "dict" else batch.inputs
        assert (values[:, 0].long() % 4 == batch.targets).all()
    assert fewer(whole, 40, "a run") is whole
    assert fewer(whole, 41, "a run") is whole


def test_pictures_keep_their_memory_format() -> None:
    whole = batches_of((torch.randn(30, 3, 8, 8), torch.arange(30) % 3))
    few = fewer(whole, 10, "a run")
    assert isinstance(few, Resident)
    assert few.inputs.is_contiguous(memory_format=torch.channels_last)


def test_values_on_fewer_samples_are_those_of_a_run_on_them() -> None:
    model = a_perceptron(6, 10, 4).double()
    inputs, targets = a_batch(50, 6, classes=4)
    index = chosen(targets.numpy(), 50, 20, "a run")
    delta = a_direction(model)
    whole = an_evaluator(model, (inputs, targets), delta=delta)
    few = with_fewer(whole, 20, "a run")
    moved = a_perceptron(6, 10, 4).double()
    with torch.no_grad():
        for name, parameter in moved.named_parameters():
            if name in delta:
                parameter += 0.5 * delta[name].double()
        expected = nn.functional.cross_entropy(moved(inputs[index].double()), targets[index]).item()
    assert few.point(0.5).values[0] == pytest.approx(expected, rel=1e-12)
    assert whole.point(0.5).values[0] != pytest.approx(expected, rel=1e-6)
    assert with_fewer(whole, 1000, "a run").point(0.5).values.tolist() == whole.point(0.5).values.tolist()


# plans


def grid_of(rows: int, columns: int) -> Grid:
    return Grid(Axis(-1, 1, columns), Axis(-1, 1, rows) if rows > 1 else None)


def surfaces(grid: Grid, *, off: float = 0.002) -> tuple[Array, Array]:
    """Return a surface as rough as noise, and that of fewer samples: a smooth factor times it, and a little off."""
    beta = np.zeros(1) if grid.beta is None else grid.beta.values()
    x, y = grid.alpha.values()[np.newaxis], beta[:, np.newaxis]
    random = np.random.default_rng(0)
    exact = np.exp(2 * (x**2 + y**2) + random.normal(size=grid.rows))
    few = exact * np.exp(0.3 + 0.2 * x - 0.1 * y**2 + off * random.normal(size=grid.rows))
    right = 1 / (1 + exact)
    return np.stack([exact, right]), np.stack([few, np.clip(right + 0.01 + 0.001 * x, 0, 1)])


def plan_of(grid: Grid, **more: Any) -> Refine:
    more = {"samples": 100, **more}
    return Refine(grid, [LOSS, ACCURACY], Tolerance(0.01), digest="a run", **more)


def computed_by(plan: Refine, exact: Array, few: Array, *, seed: int | None = None, most: float = np.inf) -> Any:
    """Compute the points of a plan, in order, or as ranks of any speed; return which have which values."""
    random = np.random.default_rng(seed)
    under_way: list[Work] = []
    done, only_few, sampled = np.zeros((3, *exact.shape[1:]), dtype=bool)
    while not plan.is_over and np.count_nonzero(done) + np.count_nonzero(sampled) < most:
        work = plan.ask(4 if seed is None else int(random.integers(1, 20)))
        if work is not None:
            under_way.append(work)
            if seed is not None and random.random() < 0.7:
                continue
        work = under_way.pop(0 if seed is None else int(random.integers(len(under_way))))
        at = (slice(None), work.row, slice(work.start, work.stop, work.step))
        mine = np.full(exact[at].shape, np.nan) if work.samples else exact[at]
        values = np.concatenate([mine, few[at]]).T
        assert work.samples in (0, 100)
        assert not (only_few if work.samples else done)[at[1:]].any()
        sampled[at[1:]] = True
        (only_few if work.samples else done)[at[1:]] = True
        plan.tell(Results(work, values, np.zeros_like(values), np.ones(len(work))))
    return done, sampled


def errors_of(picture: Picture, exact: Array) -> Array:
    return Ruler.of(LOSS, exact[0], Tolerance(0.01)).distance(picture.values[0], exact[0])


@pytest.mark.parametrize("shape", [(33, 33), (1, 201), (20, 51)])
def test_a_rough_surface_is_corrected_from_few_points(shape: tuple[int, int]) -> None:
    grid = grid_of(*shape)
    exact, few = surfaces(grid)
    plan = plan_of(grid)
    done, sampled = computed_by(plan, exact, few)
    picture = plan.picture()
    assert picture is not None
    assert sampled.mean() > 0.9
    assert done.mean() < (0.6 if 1 in shape else 0.25)
    np.testing.assert_array_equal(picture.values[:, done], exact[:, done])
    errors = errors_of(picture, exact)
    assert np.mean(errors[~done] > 1) <= MOST_WRONG
    assert picture.refinement.most_wrong["train_loss"] <= MOST_WRONG * np.count_nonzero(~done)
    within = np.abs(picture.values[0] - exact[0])[~done] <= picture.bars[0][~done]
    assert within.mean() > 0.85
    assert picture.work_of(1000) == pytest.approx(np.count_nonzero(done) + 0.1 * np.count_nonzero(sampled))


def test_without_estimates_the_same_surface_needs_all_its_points() -> None:
    grid = grid_of(33, 33)
    exact, _ = surfaces(grid)
    plan = plan_of(grid, samples=0)
    done = np.zeros(grid.rows, dtype=bool)
    while (work := plan.ask(9)) is not None:
        at = (slice(None), work.row, slice(work.start, work.stop, work.step))
        done[at[1:]] = True
        plan.tell(Results(work, exact[at].T, np.zeros_like(exact[at].T), np.ones(len(work))))
    assert done.all()


def test_a_smooth_surface_needs_few_points_of_either_kind() -> None:
    grid = grid_of(65, 65)
    x, y = grid.alpha.values()[np.newaxis], grid.beta.values()[:, np.newaxis]  # type: ignore[union-attr]
    exact = np.stack([0.1 + x**2 + y**2, 0.5 - 0.1 * x * y])
    few = np.stack([exact[0] * (1.1 + 0.1 * x), exact[1]])
    plan = plan_of(grid)
    done, sampled = computed_by(plan, exact, few)
    picture = plan.picture()
    assert picture is not None
    assert done.mean() < 0.06
    assert sampled.mean() < 0.11
    assert np.mean(errors_of(picture, exact)[~done] > 1) <= MOST_WRONG


def test_estimates_that_say_nothing_end_with_all_points_computed() -> None:
    grid = grid_of(20, 20)
    exact, _ = surfaces(grid)
    few = np.stack([np.random.default_rng(5).uniform(1, 2, grid.rows), exact[1]])
    done, _ = computed_by(plan := plan_of(grid), exact, few)
    picture = plan.picture()
    assert picture is not None
    assert np.mean(errors_of(picture, exact)[~done] > 1) <= MOST_WRONG if (~done).any() else True
    assert done.mean() > 0.9


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["few", "exact", "both"])
def test_values_that_are_not_finite_are_computed_on_all_samples(bad: float, where: str) -> None:
    grid = grid_of(25, 25)
    exact, few = surfaces(grid)
    for name, array in (("exact", exact), ("few", few)):
        if where in (name, "both"):
            array[:, :, :8] = bad
    done, _ = computed_by(plan := plan_of(grid), exact, few)
    picture = plan.picture()
    assert picture is not None
    assert done[:, :8].all()
    np.testing.assert_array_equal(picture.values[:, done], exact[:, done])
    assert np.isfinite(picture.values[:, ~done]).all()


@pytest.mark.parametrize("shape", [(25, 26), (1, 101)])
def test_the_same_surface_comes_of_any_order(shape: tuple[int, int]) -> None:
    grid = grid_of(*shape)
    exact, few = surfaces(grid)
    first = computed_by(plan := plan_of(grid), exact, few)
    expected = plan.picture()
    assert expected is not None
    for seed in range(5):
        again = computed_by(plan := plan_of(grid), exact, few, seed=seed)
        np.testing.assert_array_equal(first, again)
        found = plan.picture()
        assert found is not None
        for name in ("values", "bars", "level"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_run_that_is_interrupted_again_and_again_comes_to_the_same_surface() -> None:
    grid = grid_of(25, 26)
    exact, few = surfaces(grid)
    first = computed_by(plan := plan_of(grid), exact, few)
    expected = plan.picture()
    done, sampled = np.zeros(grid.rows, dtype=bool), np.zeros(grid.rows, dtype=bool)

    def resumed() -> Refine:
        there = {"values": np.where(done, exact, np.nan), "known": done, "sampled": np.where(sampled, few, np.nan)}
        return plan_of(grid, **there)

    pictures = 0
    for seed in range(10):
        more, many = computed_by(plan := resumed(), exact, few, seed=seed, most=90)
        done, sampled = done | more, sampled | many
        now = plan.picture()
        if now is not None:
            pictures += 1
            assert np.isfinite(now.values).all()
    assert pictures > 5
    more, many = computed_by(plan := resumed(), exact, few)
    np.testing.assert_array_equal(first, (done | more, sampled | many))
    found = plan.picture()
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.bars, expected.bars)


def test_points_that_a_file_has_on_all_samples_alone_get_their_estimates() -> None:
    grid = grid_of(25, 26)
    exact, few = surfaces(grid)
    known = np.zeros(grid.rows, dtype=bool)
    known[::2, ::2] = True
    plan = plan_of(grid, values=np.where(known, exact, np.nan), known=known)
    done, _ = computed_by(plan, exact, few)
    assert not (done & known).any()
    picture = plan.picture()
    assert picture is not None
    rest = ~(done | known)
    assert np.mean(errors_of(picture, exact)[rest] > 1) <= MOST_WRONG

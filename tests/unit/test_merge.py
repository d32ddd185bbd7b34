"""Surfaces computed apart, made one: coordinates, values, what is refused, what the file tells."""

from __future__ import annotations

import itertools
import logging
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossgrid import cli, store
from lossgrid.errors import InputError
from lossgrid.files import locked
from lossgrid.origin.merge import merge_files, merged
from lossgrid.plot.labels import missing
from lossgrid.run.provenance import settings_to_resume
from lossgrid.settings import RunConfig, resolve
from lossgrid.surface import DONE, FAILED, NOT_FINITE, PENDING, Axis, Origin, Session, Surface
from lossgrid.surface.grid import equally_spaced, union
from tests.builders import a_surface, measured

OUT = Path("merged.h5")
RECIPE = {"variant": "plain", "batch_size": 60, "cuda_graphs": False, "about": ""}


def loss(split: str, alpha: Any, beta: Any) -> Any:
    return 1.0 + len(split) + np.sin(3 * np.asarray(alpha)) + np.asarray(beta) ** 2


def part(
    alpha: str,
    beta: str | None = None,
    *,
    splits: str = "train",
    name: str = "a.h5",
    settings: dict[str, Any] | None = None,
    digests: dict[str, Any] | None = None,
    provenance: dict[str, Any] | None = None,
    done: Any = True,
    **changes: Any,
) -> Surface:
    """Return a surface as a run would compute it, of a loss that is a formula; ``done`` says where it is done."""
    config = resolve(RunConfig, {"model": "mlp", "alpha": alpha, "beta": beta, "splits": splits, **(settings or {})})
    alphas = config.alpha.values()
    betas = None if config.beta is None else config.beta.values()
    shape = config.grid.shape
    grid = (alphas, 0.0) if betas is None else (alphas[None, :], betas[:, None])
    done = np.broadcast_to(done, shape)
    metrics = {}
    for split in config.splits:
        metrics[f"{split}_accuracy"] = np.where(done, 0.5, np.nan)
        metrics[f"{split}_loss"] = np.where(done, np.broadcast_to(loss(split, *grid), shape), np.nan)
    made = {
        "theta": "t",
        "delta": "d",
        "eta": None if betas is None else "e",
        "data": {split: f"data of {split}" for split in config.splits},
    }
    origin = {
        "digests": made | (digests or {}),
        "device_type": "cpu",
        "threads": 1,
        "writer": "root",
        "recipe": RECIPE,
        "command": ["lossgrid", "run", "--alpha", alpha],
    }
    surface = a_surface(
        metrics,
        alpha=alphas,
        beta=betas,
        status=np.where(done, DONE, PENDING),
        seconds=np.where(done, 2.0, np.nan).astype(np.float32),
        origin=Origin.from_json(config.model_dump(mode="json"), origin | (provenance or {})),
        path=Path(name),
    )
    return replace(surface, **changes)


def assert_same(surface: Surface, whole: Surface) -> None:
    """Compare coordinates and status to the bit, and values, which are computed where the parts have their points."""
    np.testing.assert_array_equal(surface.alpha, whole.alpha)
    assert (surface.beta is None) == (whole.beta is None)
    if surface.beta is not None:
        np.testing.assert_array_equal(surface.beta, whole.beta)
    assert surface.quantities == whole.quantities
    for name in whole.quantities:
        np.testing.assert_allclose(surface[name], whole[name], rtol=1e-12)
    np.testing.assert_array_equal(surface.status, whole.status)
    assert surface.complete == whole.complete


# coordinates


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["-1:0:26", "0:1:26"], "-1:1:51"),
        (["0:1:26", "-1:0:26"], "-1:1:51"),
        (["-1:-0.04:25", "0:1:26"], "-1:1:51"),
        (["-1:1:11", "-1:1:21"], "-1:1:21"),
        (["-1:1:21", "-0.9:0.9:10"], "-1:1:21"),
        (["0:0.3:4", "0.4:0.6:3", "0.7:0.7:1"], "0:0.7:8"),
        (["-1:-1:1", "-0.3333333333333:0.3333333333333:2", "1:1:1"], "-1:1:4"),
        (["1000:1000.001:11", "1000.001:1000.002:11"], "1000:1000.002:21"),
        (["0.5:0.5:1", "0.5:0.5:1"], "0.5:0.5:1"),
    ],
)
@pytest.mark.parametrize("is_beta", [False, True])
def test_ranges_that_make_a_range_become_exactly_it(parts: list[str], whole: str, is_beta: bool) -> None:
    def surface(text: str) -> Surface:
        return part("-1:1:3", text) if is_beta else part(text)

    made = merged([surface(text) for text in parts], OUT)
    assert made.config["beta" if is_beta else "alpha"] == str(Axis.parse(whole))
    assert_same(made, surface(whole))


axes = st.tuples(
    st.floats(-1e3, 1e3, allow_subnormal=False), st.floats(1e-3, 1e3), st.integers(2, 80)
).map(lambda drawn: Axis(drawn[0], drawn[0] + drawn[1], drawn[2]))  # fmt: skip


@given(axes, st.data())
def test_any_cover_of_a_range_is_the_range(axis: Axis, data: st.DataObject) -> None:
    values = axis.values()
    last = axis.count - 1
    cuts = [0, *sorted(data.draw(st.sets(st.integers(0, last)))), last]
    pieces = []
    for start, stop in itertools.pairwise(cuts):  # each as one would type it, its inner points off by rounding
        bounds = float(values[start]), float(values[stop])
        pieces.append(Axis(*bounds, stop - start + 1).values())
    coordinates, places = union(data.draw(st.permutations(pieces)))
    assert coordinates.tobytes() == values.tobytes()
    assert set(np.concatenate(places).tolist()) == set(range(axis.count))


@given(st.lists(st.lists(st.integers(-50, 50), min_size=1, unique=True).map(sorted), min_size=1, max_size=5))
def test_a_union_has_every_coordinate_once_and_says_where(drawn: list[list[int]]) -> None:
    coordinates, places = union([np.array(one) / 7 for one in drawn])
    assert (np.diff(coordinates) > 0).all()
    assert len(coordinates) == len({number for one in drawn for number in one})
    for one, place in zip(drawn, places, strict=True):
        np.testing.assert_allclose(coordinates[place], np.array(one) / 7, rtol=0, atol=1e-10)


def test_equal_spacing_is_seen_through_rounding_and_no_further() -> None:
    assert equally_spaced(np.array([0.0, 0.1, 0.2, 0.30000000000000004])) == Axis(0.0, 0.30000000000000004, 4)
    assert equally_spaced(np.array([0.0, 0.1, 0.2 + 1e-9, 0.3])) is None
    assert equally_spaced(np.array([0.0, 0.5, 0.75, 1.0])) is None
    assert equally_spaced(np.array([0.0])) == Axis(0.0, 0.0, 1)


def test_steps_that_vanish_beside_other_coordinates_are_refused() -> None:
    with pytest.raises(InputError, match=r"zoom\.h5: its steps of alpha are no larger than the rounding"):
        merged([part("-1:1:3"), part("0:1e-12:5", name="zoom.h5")], OUT)
    assert len(merged([part("-1e-13:1e-13:3"), part("1e-13:3e-13:3")], OUT).alpha) == 5


# values


def test_quadrants_of_a_plane_leave_holes() -> None:
    made = merged([part("-1:0:3", "0:1:2"), part("0.5:1:2", "2:3:2", name="b.h5")], OUT)
    whole = part("-1:1:5", "0:3:4", done=np.array([[1, 1, 1, 0, 0]] * 2 + [[0, 0, 0, 1, 1]] * 2, dtype=bool))
    assert_same(made, whole)
    assert (made.pending, made.complete, made.finished) == (10, False, None)
    assert np.isnan(made.seconds[made.status == PENDING]).all()
    assert (made.rank[made.status == PENDING] == -1).all()
    assert made.config == whole.config | {"out": "merged.h5"}


@given(st.data())
def test_points_shared_out_at_random_come_together(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 4))
    owners = np.array(data.draw(st.lists(st.integers(-1, count - 1), min_size=12, max_size=12))).reshape(3, 4)
    parts = [part("0:3:4", "0:2:3", done=owners == number, name=f"{number}.h5") for number in range(count)]
    assert_same(merged(parts, OUT), part("0:3:4", "0:2:3", done=owners >= 0))


def test_splits_come_together() -> None:
    made = merged([part("-1:1:3"), part("-1:1:3", splits="test", name="b.h5")], OUT)
    assert_same(made, part("-1:1:3", splits="train,test"))
    assert made.config["splits"] == ["train", "test"]
    assert made.provenance["digests"]["data"] == {"train": "data of train", "test": "data of test"}
    assert made.quantities["test_loss"].units == "nats per sample"


def test_a_point_some_metrics_of_which_are_unknown_is_pending_and_keeps_the_others() -> None:
    made = merged([part("-1:1:5"), part("0:1:3", splits="test")], OUT)
    np.testing.assert_array_equal(made.status, [PENDING, PENDING, DONE, DONE, DONE])
    np.testing.assert_allclose(made["train_loss"], loss("train", made.alpha, 0))
    np.testing.assert_array_equal(np.isnan(made["test_loss"]), [True, True, False, False, False])
    np.testing.assert_array_equal(made.seconds, [2, 2, 4, 4, 4])
    assert not made.complete


def test_what_merging_left_pending_is_not_lost_in_the_next() -> None:
    first = merged([part("-1:1:5"), part("0:1:3", splits="test")], Path("first.h5"))
    made = merged([first, part("-1:-0.5:2", splits="test")], OUT)
    assert_same(made, part("-1:1:5", splits="train,test"))
    np.testing.assert_array_equal(made.seconds, [4] * 5)
    assert [source["file"] for source in made.provenance["merged"]] == ["a.h5"] * 3


def test_values_of_points_never_done_are_not_taken() -> None:
    killed = part("-1:1:3", status=np.array([DONE, PENDING, FAILED], np.uint8), complete=False)
    made = merged([killed, part("2:2:1")], OUT)
    np.testing.assert_array_equal(made.status, [DONE, PENDING, PENDING, DONE])
    np.testing.assert_array_equal(np.isnan(made["train_loss"]), [False, True, True, False])


def test_the_first_value_counts_and_only_what_was_used_costs() -> None:
    both = part("-1:1:3", splits="train,test", name="b.h5", seconds=np.full(3, 8, np.float32), rank=np.array([5, 6, 7]))
    slightly = dict(both.values) | {"train_loss": both["train_loss"] * (1 + 1e-5)}
    first = part("-1:0:2")
    made = merged([first, replace(both, values=slightly), part("-1:1:3", splits="test")], OUT)
    np.testing.assert_array_equal(made["train_loss"][:2], first["train_loss"])
    assert made["train_loss"][2] == slightly["train_loss"][2]
    np.testing.assert_array_equal(made.seconds, [10, 10, 8])
    np.testing.assert_array_equal(made.rank, [3, 3, 7])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("other", [math.nan, math.inf])
def test_values_that_are_not_finite_are_kept_and_agree(value: float, other: float) -> None:
    def diverged(value: float, accuracy: float) -> Surface:
        metrics = {"train_loss": np.array([1.0, value]), "train_accuracy": np.array([0.5, accuracy])}
        return part("0:1:2", **measured(metrics), status=np.array([DONE, NOT_FINITE], np.uint8))

    made = merged([diverged(value, 0.1), diverged(other, 0.9)], OUT)
    np.testing.assert_array_equal(made.status, [DONE, NOT_FINITE])
    np.testing.assert_array_equal(made["train_loss"], [1.0, value])
    assert made["train_accuracy"][1] == 0.1
    assert made.complete


@pytest.mark.parametrize(
    ("precision", "rounding", "other"),
    [("float64", 1e-11, 1e-8), ("float32", 1e-5, 1e-3), ("tf32", 1e-3, 0.1), ("bfloat16", 0.05, 0.3)],
)
@pytest.mark.parametrize("value", [2.0, 0.01])
def test_points_of_several_files_must_agree_but_for_rounding(
    precision: str, rounding: float, other: float, value: float
) -> None:
    def constant(value: float, name: str = "a.h5") -> Surface:
        values = {"train_loss": np.full((2, 3), value), "train_accuracy": np.full((2, 3), 0.5)}
        return part("-1:1:3", "0:1:2", settings={"precision": precision}, **measured(values), name=name)

    assert merged([constant(value), constant(value * (1 + rounding))], OUT)["train_loss"][0, 0] == value
    with pytest.raises(InputError) as caught:
        merged([part("2:2:1", "0:0:1", settings={"precision": precision}), constant(value),
                constant(value * (1 + other), "c.h5")], OUT)  # fmt: skip
    assert str(caught.value) == (
        f"c.h5 and a.h5 do not agree: at alpha -1, beta 0 train_loss is {value * (1 + other):.9g} in c.h5 and "
        f"{value:.9g} in a.h5; leave out the one that is wrong"
    )


def test_small_losses_may_differ_by_the_rounding_of_the_outputs() -> None:
    def line(value: float) -> Surface:
        return part("0:0:1", **measured({"train_loss": np.array([value]), "train_accuracy": np.array([1.0])}))

    assert merged([line(1e-6), line(1.5e-6)], OUT).complete
    with pytest.raises(InputError, match="do not agree"):
        merged([line(1e-6), line(1e-5)], OUT)


def test_accuracies_that_are_far_apart_are_refused() -> None:
    one = part("0:1:2")
    near, far = (dict(one.values) | {"train_accuracy": np.array([0.5, 0.5 + apart])} for apart in (0.03, 0.1))
    assert merged([one, replace(one, values=near)], OUT).complete
    with pytest.raises(InputError, match=r"at alpha 1 train_accuracy is 0\.6 in a\.h5 and 0\.5 in a\.h5"):
        merged([one, replace(one, values=far)], OUT)


# what does not belong together


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settings": {"model": "vgg9"}}, "model is vgg9, not mlp"),
        ({"settings": {"model_arg": {"hidden": 8}}}, "model-arg is {'hidden': 8}, not {}"),
        ({"settings": {"data": "cifar10:here"}}, "data is cifar10, not digits"),
        ({"settings": {"data_arg": {"normalize": True}}}, "data-arg is {'normalize': True}, not {}"),
        ({"settings": {"max_samples": 5}}, "max-samples is 5, not unset"),
        ({"settings": {"loss": "mse"}}, "loss is mse, not cross_entropy"),
        ({"settings": {"precision": "float64"}}, "precision is float64, not float32"),
        ({"provenance": {"device_type": "cuda"}}, "device is cuda, not cpu"),
        ({"digests": {"theta": "x"}}, "the network (model or checkpoint) differs"),
        ({"digests": {"delta": "x"}}, "direction delta differs"),
        ({"digests": {"eta": "x"}}, "direction eta differs"),
        ({"digests": {"data": {"train": "x"}}}, "the data of split train differ from those in a.h5"),
        ({"beta": None}, "it is a line, not a plane"),
        (
            {"settings": {"seed": 5, "norm": "layer"}, "digests": {"delta": "x", "eta": "y"}},
            "norm is layer, not filter; seed is 5, not 0; direction delta differs; direction eta differs",
        ),
        (
            {"settings": {"loss": "mse"}, "digests": {"theta": "x", "data": {"train": "y"}}},
            "loss is mse, not cross_entropy; the network (model or checkpoint) differs; "
            "the data of split train differ from those in a.h5",
        ),
    ],
    ids=lambda part: part.split(";")[0] if isinstance(part, str) else "",
)
def test_strangers_are_refused_with_all_that_differs(changes: dict[str, Any], words: str) -> None:
    stranger = part("-1:1:3", **({"beta": "0:1:2", "name": "b.h5"} | changes))
    with pytest.raises(InputError) as caught:
        merged([part("0:1:2", "0:1:2"), stranger], OUT)
    said = str(caught.value).removeprefix("b.h5 does not belong to a.h5: ").split("; ")
    assert sorted(said) == sorted([*words.split("; "), "leave one of them out"])
    assert said[-1] == "leave one of them out"


def test_the_data_of_a_split_must_be_those_of_the_file_that_has_it() -> None:
    second = part("0:1:2", splits="test", name="b.h5")
    third = part("0:1:2", splits="test", name="c.h5", digests={"data": {"test": "x"}})
    with pytest.raises(InputError, match=r"c\.h5 does not belong to a\.h5: the data of split test .* in b\.h5"):
        merged([part("0:1:2"), second, third], OUT)


def test_a_plane_does_not_belong_to_a_line() -> None:
    with pytest.raises(InputError, match="it is a plane, not a line;"):
        merged([part("0:1:2"), part("0:1:2", "0:1:2")], OUT)


def test_the_same_directions_belong_together_however_they_were_made() -> None:
    of_file = part("1:1:1", settings={"directions": "d.h5", "seed": 0})
    assert merged([part("0:0:1", settings={"seed": 4}), of_file], OUT).config["seed"] == 4


def test_other_ways_to_evaluate_points_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "lossgrid")
    same = {"recipe": RECIPE | {"about": "in other words"}}
    merged([part("0:0:1"), part("1:1:1", provenance=same)], OUT)
    assert not caplog.records
    fused = {"recipe": RECIPE | {"variant": "fused", "batch_size": 30, "cuda_graphs": True}}
    others = [part("1:1:1", name="b.h5", provenance=fused), part("2:2:1", provenance={"threads": 2})]
    merged([part("0:0:1"), *others], OUT)
    assert [record.getMessage() for record in caplog.records] == [
        "last bits may differ: a.h5 is of variant plain, batches of 60, no CUDA graphs, 1 threads; b.h5 of variant "
        "fused, batches of 30, with CUDA graphs, 1 threads; 1 more of other ways than the first"
    ]


# what the file tells


def write(surface: Surface, folder: Path) -> Path:
    path = folder / (surface.path or OUT).name
    store.save(path, surface)
    return path


@pytest.mark.parametrize("beta", [None, "0:1:3"])
def test_a_saved_surface_is_read_as_it_was(tmp_path: Path, beta: str | None) -> None:
    rounding = {"precision": "bfloat16", "points": [[0, 0]], "largest": {"train_loss": 0.1}}
    sessions = (Session(3, 1.5, None),)
    for done in (True, np.array([True, False])):
        surface = part("0:1:2", beta, done=done, rounding=rounding, sessions=sessions)
        path = write(surface, tmp_path)
        read = store.read(path)
        for name in ("alpha", "beta", "status", "seconds", "rank"):
            np.testing.assert_array_equal(getattr(read, name), getattr(surface, name))
        for name, values in surface.values.items():
            np.testing.assert_array_equal(read[name], values)
        for name in ("config", "provenance", "complete", "created", "finished", "rounding", "quantities", "sessions"):
            assert getattr(read, name) == getattr(surface, name), name
        with pytest.raises(InputError, match="appeared"):
            store.save(path, surface)
        path.unlink()


def test_a_saved_surface_has_the_structure_of_a_created_one(tmp_path: Path) -> None:
    saved = write(part("0:1:2", "0:1:3", done=np.array([True, False])), tmp_path)
    created = tmp_path / "created.h5"
    surface = store.read(saved)
    grid = resolve(RunConfig, surface.config).grid
    metrics = list(surface.quantities.values())
    store.create(created, grid, metrics, config=surface.config, provenance=surface.provenance)
    with h5py.File(saved) as one, h5py.File(created) as other:
        assert set(one.attrs) == set(other.attrs)
        for name, dataset in other.items():
            if name.endswith("_error"):  # which these surfaces do not tell
                continue
            assert (one[name].shape, one[name].dtype, one[name].chunks) == (dataset.shape, dataset.dtype, None)
            assert one[name].id.get_offset() is not None
            assert [d[0].name for d in one[name].dims if len(d)] == [d[0].name for d in dataset.dims if len(d)]
            assert one[name].attrs.get("units") == dataset.attrs.get("units")


def test_thousands_of_sources_fit_and_other_tools_read_the_file(tmp_path: Path) -> None:
    netcdf = pytest.importorskip("netCDF4")
    command = ["lossgrid", "run", *("x" * 50 for _ in range(10))]
    rows = [
        part("0:1:2", f"{row}:{row}:1", name=f"row_{row}.h5", provenance={"command": command}) for row in range(2000)
    ]
    path = tmp_path / "merged.h5"
    store.save(path, merged(rows, path))
    surface = store.read(path)
    assert (surface.shape, surface.complete) == ((2000, 2), True)
    assert surface.config["beta"] == "0.0:1999.0:2000"
    assert len(surface.provenance["merged"]) == 2000
    assert surface.provenance["merged"][1999] == {
        "file": "row_1999.h5", "created": "2026-01-01T00:00:00+00:00", "shape": [1, 2], "command": command,
    }  # fmt: skip
    with netcdf.Dataset(path) as dataset:
        assert dataset["train_loss"].dimensions == ("beta", "alpha")
        assert float(dataset["train_loss"][1999, 1]) == pytest.approx(loss("train", 1, 1999))


def test_the_cost_of_a_lower_precision_is_the_largest_of_all() -> None:
    def told(alpha: str, points: list[list[int]], train: float, **changes: Any) -> Surface:
        found = {"precision": "bfloat16", "points": points, "largest": {"train_loss": train}}
        return part(alpha, settings={"precision": "bfloat16"}, rounding=found, **changes)

    parts = [told("0:1:2", [[0, 1]], 0.1), told("2:3:2", [[0, 0], [0, 1]], 0.3), told("1:2:2", [[0, 0]], 0.2)]
    assert merged(parts, OUT).rounding == {
        "precision": "bfloat16", "points": [[0, 1], [0, 2], [0, 3]], "largest": {"train_loss": 0.3}, "beyond": False,
    }  # fmt: skip
    assert merged([parts[0], told("3:3:1", [], 0.1), told("5:5:1", [], 0.1)], OUT).rounding is not None
    holes = np.array([True, False])
    assert merged([parts[0], told("2:3:2", [], 0.1, done=holes)], OUT).rounding is None
    assert merged([part("0:0:1"), part("1:1:1")], OUT).rounding is None


def test_coordinates_not_equally_spaced_are_said_and_no_run_goes_on_with_them(tmp_path: Path) -> None:
    path = write(merged([part("-1:1:3", "0:1:2"), part("-0.1:0.1:3", "0:1:2")], OUT), tmp_path)
    surface = store.read(path)
    np.testing.assert_allclose(surface.alpha, [-1, -0.1, 0, 0.1, 1])
    assert surface.config["alpha"] == "5 coordinates, not equally spaced"
    assert surface.config["beta"] == "0.0:1.0:2"
    for alpha in ("-1:1:3", "-1:1:5"):
        config = resolve(RunConfig, {"model": "mlp", "alpha": alpha, "beta": "0:1:2", "out": "merged.h5"})
        with pytest.raises(InputError) as caught:
            settings_to_resume(surface, config)
        assert str(caught.value) == (
            "--out: merged.h5 was merged, and its coordinates are not equally spaced, as those of a run are; "
            "choose another file, and merge again"
        )
    again = merged([surface, part("0.2:0.9:8", "0:1:2"), part("-0.9:-0.2:8", "0:1:2")], OUT)
    assert_same(again, part("-1:1:21", "0:1:2"))


def test_a_merged_surface_with_holes_is_one_a_run_goes_on_with() -> None:
    made = merged([part("-1:0:3", splits="test"), part("0.5:1:2", splits="train", name="b.h5")], OUT)
    settings = {"model": "mlp", "alpha": "-1:1:5", "splits": "train,test", "out": "merged.h5"}
    settings_to_resume(made, resolve(RunConfig, settings))
    with pytest.raises(InputError, match=r"alpha is -1\.0:1\.0:5 there and -1\.0:1\.0:9 now"):
        settings_to_resume(made, resolve(RunConfig, settings | {"alpha": "-1:1:9"}))


def test_pictures_show_what_is_known_of_pending_points(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = merged([part("-1:0:3", "0:1:2"), part("0.5:1:2", "0:1:2", splits="test", name="b.h5")], OUT)
    assert made.pending == 10
    assert missing(made, ["train_loss"]) == "4 pending"
    assert missing(made, ["test_loss"]) == "6 pending"
    path = write(made, tmp_path)
    with pytest.raises(SystemExit) as exit_:
        cli.main(["plot", str(path), "--kind", "heat", "--metric", "test_loss"])
    assert exit_.value.code == 0
    assert path.with_name("merged_heat.png").exists()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


# files


def test_files_are_merged_and_only_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossgrid")
    files = [write(part("-1:0:3"), tmp_path), write(part("0.5:1:2", name="b.h5"), tmp_path)]
    before = [file.read_bytes() for file in files]
    out = tmp_path / "c.h5"
    merge_files(files, out, overwrite=False)
    assert_same(store.read(out), part("-1:1:5"))
    assert store.read(out).finished is not None
    assert [file.read_bytes() for file in files] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5", "c.h5"]
    assert caplog.messages == [f"merged 2 surfaces into {out}: 5 points, complete"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("0.5:1:2", "5 points, of which 1 are pending; lossgrid run goes on with --alpha -1.0:1.0:5 --splits train"),
        (
            "0.3:0.4:2",
            "5 points, of which 1 are pending; alpha not equally spaced: to fill them, compute them apart and merge "
            "again",
        ),
    ],
)
def test_what_is_missing_is_told_with_the_way_to_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: str, words: str
) -> None:
    caplog.set_level(logging.INFO, "lossgrid")
    with_a_hole = part("-1:0:3", done=np.array([False, True, True]))
    files = [write(with_a_hole, tmp_path), write(part(other, name="b.h5"), tmp_path)]
    merge_files(files, tmp_path / "c.h5", overwrite=False)
    assert caplog.messages == [f"merged 2 surfaces into {tmp_path / 'c.h5'}: {words}"]


def test_nothing_is_replaced_unasked_and_no_source_ever(tmp_path: Path) -> None:
    files = [write(part("-1:0:3"), tmp_path), write(part("0.5:1:2", name="b.h5"), tmp_path)]
    other = write(part("7:7:1", name="c.h5"), tmp_path)
    text = tmp_path / "notes.h5"
    text.write_text("my notes")
    linked = tmp_path / "linked.h5"
    linked.symlink_to(files[1])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for out, overwrite, words in [
        (other, False, r"c\.h5 exists; choose another file, or --overwrite"),
        (files[0], True, r"a\.h5 is one of the surfaces to merge"),
        (linked, True, r"linked\.h5 is one of the surfaces to merge"),
        (text, True, r"notes\.h5 is not a surface file"),
        (tmp_path, True, "is a folder; give a file such as"),
        (tmp_path / "absent" / "c.h5", False, "cannot write in folder .*absent: No such file"),
    ]:
        with pytest.raises(InputError, match=words):
            merge_files(files, out, overwrite=overwrite)
    with pytest.raises(InputError, match="no such file"):
        merge_files([files[0], tmp_path / "absent.h5"], tmp_path / "d.h5", overwrite=False)
    with pytest.raises(InputError, match=r"expected two surfaces or more to merge, got only .*a\.h5"):
        merge_files(files[:1], tmp_path / "d.h5", overwrite=False)
    with locked(other), pytest.raises(InputError, match=f"c.h5 is in use by process {os.getpid()}"):
        merge_files(files, other, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    merge_files(files, other, overwrite=True)
    assert_same(store.read(other), part("-1:1:5"))

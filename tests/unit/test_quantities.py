"""What values mean is said in the file: quantities, files of version 1, files of the future."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lossgrid import plot, store
from lossgrid.cli.comparison import compare_files
from lossgrid.errors import InputError
from lossgrid.formats import FORMATS, WITH_HEIGHT, export_file
from lossgrid.origin.merge import merge_files
from lossgrid.surface import DONE, INTERPOLATED, PENDING, Quantity, Surface, quantity
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import a_surface, measured, quantities
from tests.unit.test_compare import run_main
from tests.unit.test_plot import bowl

ECE = Quantity("test_ece", "test", "ece", "1", "lower", (0.0, 1.0), "by differences")
NORM = Quantity("train_gradient", "train", "gradient norm", "nats", "lower", (0.0, None), "by factors")


def with_more(surface: Surface) -> Surface:
    """Add quantities of kinds that nobody has heard of."""
    loss = surface["train_loss"]
    more = {ECE: loss / (1 + loss), NORM: 1e3 * loss**2}
    return replace(
        surface,
        quantities={**surface.quantities, **{one.name: one for one in more}},
        values={**surface.values, **{one.name: values for one, values in more.items()}},
    )


def rewritten_as_version_1(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1
        del file.attrs["quantities"]
        file.attrs.modify("digest", np.bytes_(" " * 64))


@pytest.mark.parametrize("made", [*quantities("train"), ECE, NORM], ids=lambda made: made.name)
def test_quantities_come_back_from_json(made: Quantity) -> None:
    stored = json.loads(json.dumps(made.as_json()))
    assert quantity.from_json(stored) == made
    assert quantity.from_json({**stored, "of a later version": [1]}) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name None"),
        ({"kind": 3}, "kind 3"),
        ({"better": "left"}, "better 'left'"),
        ({"varies": ""}, "varies ''"),
        ({"bounds": [0]}, "bounds"),
        ({"bounds": [0, "x"]}, "bounds"),
        ({"bounds": [True, 1]}, "bounds"),
        ({"bounds": None}, "bounds"),
    ],
)
def test_what_is_no_quantity_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantity.from_json({**ECE.as_json(), **change})
    with pytest.raises(ValueError, match="list in JSON"):
        quantity.from_json([])


def test_quantities_are_sorted_by_kind_and_split() -> None:
    some = [ECE, NORM, *quantities("test", "val", "train")]
    assert [one.name for one in quantity.in_order(reversed(some))] == [
        "train_loss", "test_loss", "val_loss", "train_accuracy", "test_accuracy", "val_accuracy", "test_ece",
        "train_gradient",
    ]  # fmt: skip


def test_a_file_keeps_what_its_values_mean(tmp_path: Path) -> None:
    surface = with_more(bowl())
    store.save(tmp_path / "s.h5", surface)
    read = store.read(tmp_path / "s.h5")
    assert read.quantities == surface.quantities
    assert list(read.values) == list(surface.values)
    for name in surface.values:
        np.testing.assert_array_equal(read[name], surface[name])


# files of the future


def add_members(file: h5py.File) -> None:
    file.attrs["plan"] = "{}"
    file.attrs["temperatures"] = np.arange(3)
    file["curvature"] = np.ones((2, 2, 2))
    file["names"] = ["a", "b"]
    file["pairs"] = np.zeros(3, [("a", "f8"), ("b", "i4")])
    file["empty"] = h5py.Empty("f8")
    file["paths/trajectory"] = np.ones((4, 2))
    file["networks/0/theta"] = np.ones(3)
    file["train_loss"].attrs["source"] = "later"


@pytest.mark.slow
def test_a_reader_passes_over_what_it_does_not_know(tmp_path: Path) -> None:
    surface = with_more(bowl())
    store.save(tmp_path / "s.h5", surface)
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        add_members(file)
    read = store.read(tmp_path / "s.h5", to_write=True)
    assert read.complete
    assert list(read.quantities) == list(surface.quantities)
    assert as_lines(summarise(read))[0].endswith("complete")
    assert plot.write_all(read, tmp_path / "s", overwrite=False)
    assert export_file(tmp_path / "s.h5", to="csv").is_file()


def test_what_is_known_is_still_held_against_the_digest(tmp_path: Path) -> None:
    store.save(tmp_path / "s.h5", bowl())
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        add_members(file)
        file["train_loss"][0, 0] += 1e-9
    with pytest.raises(InputError, match="its digest is another"):
        store.read(tmp_path / "s.h5")


def test_a_quantity_whose_numbers_are_of_a_strange_kind_is_refused_with_the_reason(tmp_path: Path) -> None:
    store.save(tmp_path / "s.h5", bowl())
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        del file["train_loss"]
        file["train_loss"] = [["1.0"]]
    with pytest.raises(InputError, match="is refused: /train_loss holds an array of text"):
        store.read(tmp_path / "s.h5")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ("[", "no JSON"),
        ("{}", "expected a list"),
        ("[1]", "a quantity is a int"),
        (json.dumps([ECE.as_json()]), "no /test_ece"),
        (json.dumps([ECE.as_json()] * 2), "names test_ece, test_ece"),
        (json.dumps([{**ECE.as_json(), "name": "status"}]), "names status"),
        (json.dumps([{**ECE.as_json(), "name": "alpha"}]), "names alpha"),
        (json.dumps([{**ECE.as_json(), "name": "paths/x"}]), "no /paths/x"),
    ],
)
def test_forged_quantities_are_one_line(tmp_path: Path, stored: str, message: str) -> None:
    store.save(tmp_path / "s.h5", bowl())
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file.attrs["quantities"] = stored
    with pytest.raises(InputError, match=message) as caught:
        store.read(tmp_path / "s.h5")
    assert "\n" not in str(caught.value)


def test_errors_samples_and_levels_are_kept(tmp_path: Path) -> None:
    surface = bowl()
    shape = surface.shape
    surface = replace(
        surface,
        errors={"train_loss": np.full(shape, 0.5, np.float32)},
        samples=np.full(shape, 1000, np.int32),
        level=np.ones(shape, np.uint8),
    )
    store.save(tmp_path / "s.h5", surface)
    read = store.read(tmp_path / "s.h5")
    np.testing.assert_array_equal(read.errors["train_loss"], surface.errors["train_loss"])
    assert read.samples is not None
    assert read.level is not None
    np.testing.assert_array_equal(read.samples, surface.samples)
    np.testing.assert_array_equal(read.level, surface.level)
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["samples"][0, 0] = 7
    with pytest.raises(InputError, match="its digest is another"):
        store.read(tmp_path / "s.h5")


def test_interpolated_points_are_known_and_not_computed(tmp_path: Path) -> None:
    surface = bowl()
    status = surface.status.copy()
    status[0, 0], status[0, 1] = INTERPOLATED, PENDING
    store.save(tmp_path / "s.h5", replace(surface, status=status, complete=False))
    read = store.read(tmp_path / "s.h5")
    assert (read.status[0, 0], read.done, read.pending) == (INTERPOLATED, status.size - 2, 1)
    assert not read.computed[0, :2].any()
    assert "interpolated" in export_file(tmp_path / "s.h5", to="csv").read_text()


# files of version 1


def test_files_of_version_1_say_by_their_names_what_values_mean(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    store.save(path, bowl())
    rewritten_as_version_1(path)
    read = store.read(path)
    assert sorted(read.quantities) == ["train_accuracy", "train_loss"]
    assert read.quantities["train_accuracy"] == quantity.accuracy("train")
    assert read.quantities["train_loss"] == quantity.loss("train", "nats per sample")
    with h5py.File(path, "r+") as file:
        file["more"] = np.ones(3)
    with pytest.raises(InputError, match="/more is float64 of shape"):
        store.read(path)


# quantities of kinds nobody has heard of, through all verbs


def test_every_kind_is_drawn_in_a_panel_of_its_own() -> None:
    line = with_more(a_surface({"train_loss": np.array([4.0, 1.0, 2.0]), "train_accuracy": np.array([0.1, 0.9, 0.5])}))
    labels = [axes.get_ylabel() for axes in plot.draw(line).axes]
    assert labels == ["train loss (nats per sample)", "train accuracy", "test ece", "train gradient (nats)"]
    (only,) = plot.draw(line, metric="test_ece").axes
    assert only.get_ylabel() == "test ece"
    assert only.yaxis.get_major_formatter()(0.5) == "50%"


def test_scales_and_colours_follow_what_a_quantity_says() -> None:
    plane = with_more(bowl(steep=200.0))
    colours = {}
    for name in ("train_accuracy", "test_ece", "train_gradient"):
        figure = plot.draw(plane, metric=name, kind="heat")
        bar = figure.axes[-1]
        colours[name] = figure.axes[0].collections[0].cmap(0.0)
        assert ("%" in bar.get_yticklabels()[1].get_text()) == (name != "train_gradient")
    assert colours["test_ece"] == colours["train_gradient"] != colours["train_accuracy"]


def test_compare_merge_and_export_take_every_kind(tmp_path: Path) -> None:
    surface = with_more(bowl())
    store.save(tmp_path / "s.h5", surface)
    (found,) = compare_files(
        [tmp_path / "s.h5"], metric="train_gradient", radius=0.5, levels=["+1"], log_scale=None, vmax=1e9, labels=[],
        out=None, draw=False, overwrite=False,
    )  # fmt: skip
    centre = next(number for number in found.numbers if number.key == "centre")
    assert centre.label == "train gradient at the centre"
    assert centre.value == pytest.approx(1e3 * 0.1**2)
    header = export_file(tmp_path / "s.h5", to="csv").read_text().splitlines()[0]
    assert header == "alpha,beta,train_loss,train_accuracy,test_ece,train_gradient,status,seconds,rank"
    summary = summarise(store.read(tmp_path / "s.h5"))
    assert summary["centre"]["test"] == {"ece": pytest.approx(0.1 / 1.1)}
    assert "at the centre: test ece 0.0909" in as_lines(summary)
    with pytest.raises(InputError, match="does not tell digests"):
        merge_files([tmp_path / "s.h5", tmp_path / "s.h5"], tmp_path / "m.h5", overwrite=False)


@pytest.mark.parametrize("is_line", [False, True])
def test_a_surface_without_any_loss_goes_through_all_verbs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], is_line: bool
) -> None:
    plane = with_more(bowl())
    snr = Quantity("val_snr", "val", "snr", "dB", "higher", (None, None), "by differences")
    values = {ECE.name: plane[ECE.name], NORM.name: plane[NORM.name], snr.name: -plane["train_loss"]}
    surface = replace(plane, quantities={one.name: one for one in (ECE, NORM, snr)}, values=values)
    if is_line:
        row = {name: getattr(plane, name)[3] for name in ("status", "seconds", "rank")}
        surface = replace(surface, beta=None, values={name: one[3] for name, one in values.items()}, **row)
    store.save(tmp_path / "s.h5", surface)
    verbs = [["status"], ["status", "--json"], ["plot", "--overwrite"], ["compare", "--json"]]
    verbs += [["compare", "--json", "--metric", "val_snr"], ["plot", "--metric", "val_snr", "--overwrite"]]
    verbs += [["export", "--to", name, "--overwrite"] for name in FORMATS if name != "loss-landscape"]
    verbs += [["export", "--to", name, "--metric", "val_snr", "--overwrite"] for name in WITH_HEIGHT]
    for verb, *options in verbs:
        assert run_main(verb, tmp_path / "s.h5", *options) == 0, (verb, options)
        assert capfd.readouterr().out
    assert run_main("export", tmp_path / "s.h5", "--to", "loss-landscape") == 2
    assert "s.h5 holds no loss, which loss-landscape needs" in capfd.readouterr().err
    assert not list(tmp_path.glob("*landscape*"))


def test_what_the_reference_tool_does_not_know_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(tmp_path / "s.h5", with_more(bowl()))
    written = export_file(tmp_path / "s.h5", to="loss-landscape")
    with h5py.File(written) as file:
        assert set(file) == {"dir_file", "xcoordinates", "ycoordinates", "train_loss", "train_acc"}
    assert "test_ece, train_gradient left out: loss-landscape has only losses and their accuracies" in caplog.text


def test_the_builders_mean_what_files_mean() -> None:
    made = measured({"train_loss": np.ones(2), "test_accuracy": np.ones(2)})
    assert made["quantities"]["test_accuracy"] == quantity.accuracy("test")
    assert DONE == 1

"""lossgrid compare: the table, the numbers for programs, the picture, and what is refused."""

import csv
import dataclasses
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossgrid import cli, store
from lossgrid.cli import comparison
from lossgrid.cli.comparison import as_csv, as_json, as_table, compare_files
from lossgrid.errors import InputError
from lossgrid.numbers.measured import Measured
from lossgrid.surface import DONE, PENDING, Origin, Surface
from tests.builders import a_surface, measured

DEFAULTS: dict[str, Any] = {
    "metric": None, "radius": 0.5, "levels": comparison.LEVELS, "log_scale": None, "vmax": None, "labels": [],
    "out": None, "draw": False, "overwrite": False,
}  # fmt: skip


def bowl(steep: float = 1.0, *, n_alpha: int = 21, n_beta: int = 17) -> Surface:
    alpha, beta = np.linspace(-1, 1, n_alpha), np.linspace(-0.8, 0.8, n_beta)
    loss = 0.1 + steep * (alpha[None, :] ** 2 + beta[:, None] ** 2)
    return a_surface({"train_loss": loss, "train_accuracy": 1 / (1 + loss)}, alpha=alpha, beta=beta)


def valley(steep: float = 1.0, count: int = 21) -> Surface:
    alpha = np.linspace(-1, 1, count)
    loss = 0.1 + steep * alpha**2
    return a_surface({"train_loss": loss, "test_loss": 2 * loss, "test_accuracy": 1 / (1 + loss)}, alpha=alpha)


def saved(folder: Path, **surfaces: Surface) -> list[Path]:
    for name, surface in surfaces.items():
        store.save(folder / f"{name}.h5", surface, overwrite=False)
    return [folder / f"{name}.h5" for name in surfaces]


def run_main(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def numbers(measured: Measured) -> dict[str, Any]:
    return {number.key: number.value for number in measured.numbers}


def test_planes_side_by_side_have_the_same_numbers_in_the_same_order(tmp_path: Path) -> None:
    flat, steep = compare_files(saved(tmp_path, flat=bowl(), steep=bowl(4, n_alpha=31)), **DEFAULTS)
    assert (flat.label, steep.label) == ("flat", "steep")
    assert (flat.shape, steep.shape) == ((17, 21), (17, 31))
    assert list(numbers(flat)) == list(numbers(steep))
    assert numbers(flat)["centre"] == numbers(steep)["centre"] == pytest.approx(0.1)
    assert numbers(flat)["sharpness"] == pytest.approx(0.25, abs=0.01)
    assert numbers(steep)["sharpness"] == pytest.approx(1, abs=0.04)
    assert numbers(steep)["width_beta_+0.5"] == pytest.approx(2 * (0.5 / 4) ** 0.5, abs=0.01)
    assert numbers(steep)["area_2x"] == pytest.approx(np.pi * 0.1 / 4, abs=0.01)
    assert {numbers(one)["minima"] for one in (flat, steep)} == {1}
    assert {numbers(one)["negative_curvature"] for one in (flat, steep)} == {0}


def test_the_table_shows_lower_bounds_and_what_was_left_out(tmp_path: Path) -> None:
    values = bowl()["train_loss"].copy()
    values[0, :3] = np.inf, np.nan, 3.0
    status = np.full(values.shape, DONE, dtype=np.uint8)
    status[0, 1] = PENDING
    holed = dataclasses.replace(bowl(), **measured({"train_loss": values}), status=status)
    table = as_table(compare_files(saved(tmp_path, whole=bowl(8), holed=holed), **DEFAULTS))
    rows = {line[:36].strip(): line[36:].split() for line in table.splitlines()}
    assert rows["points"] == ["357", "357"]
    assert rows["points left out"] == ["0", "2"]
    assert rows["train loss at the centre"] == ["0.1", "0.1"]
    assert rows["area at centre +1"][1] == ">="
    assert float(rows["area at centre +1"][0]) == pytest.approx(np.pi / 8, abs=0.02)
    assert rows["negative curvature"][:2] == ["0", "%"]
    assert rows["local minima of persistence >= 1 %"] == ["1", "1"]
    assert "goes on beyond the grid" in table
    assert not any(line != line.rstrip() for line in table.splitlines())


def test_accuracies_are_compared_as_errors(tmp_path: Path) -> None:
    (one,) = compare_files(saved(tmp_path, a=valley()), **DEFAULTS | {"metric": "test_accuracy"})
    assert numbers(one)["centre"] == pytest.approx(1 - 1 / 1.1)
    assert "test error at the centre" in as_table([one])
    with pytest.raises(InputError, match="--vmax is the highest loss, got 2 with test_accuracy"):
        compare_files([tmp_path / "a.h5"], **DEFAULTS | {"metric": "test_accuracy", "vmax": 2.0})


def test_lines_have_one_width_and_no_area(tmp_path: Path) -> None:
    measured = compare_files(saved(tmp_path, a=valley(), b=valley(3)), **DEFAULTS | {"levels": ["+0.3"]})
    assert "width_+0.3" in numbers(measured[0])
    assert not [key for key in numbers(measured[0]) if key.startswith("area")]
    assert "width at centre +0.3" in as_table(measured)
    assert numbers(measured[1])["width_+0.3"] == pytest.approx(2 * 0.1**0.5, abs=0.01)


def test_several_minima_are_listed_with_their_place_and_persistence(tmp_path: Path) -> None:
    alpha = np.linspace(-1, 1, 41)
    wells = a_surface({"train_loss": np.minimum((alpha + 0.5) ** 2, (alpha - 0.5) ** 2 + 0.1)}, alpha=alpha)
    measured = compare_files(saved(tmp_path, wells=wells, valley=valley()), **DEFAULTS)
    assert [numbers(one)["minima"] for one in measured] == [2, 1]
    listed = as_table(measured).partition("most persistent minima")[2].splitlines()
    assert len(listed) == 3
    assert listed[1].split() == ["wells", "-0.5", "0", "0.35"]
    assert listed[2].split() == ["0.5", "0.1", "0.2025"]
    waves = a_surface({"train_loss": np.cos(9 * np.pi * alpha)}, alpha=alpha)
    table = as_table(compare_files(saved(tmp_path, waves=waves), **DEFAULTS))
    assert "  and 5 more" in table
    assert "at the border" in table


def test_json_and_csv_hold_all_numbers(tmp_path: Path) -> None:
    zero = a_surface({"train_loss": np.linspace(-1, 1, 11) ** 2}, alpha=np.linspace(-1, 1, 11))
    measured = compare_files(saved(tmp_path, zero=zero, other=valley()), **DEFAULTS)
    records = json.loads(as_json(measured))
    assert [record["label"] for record in records] == ["zero", "other"]
    assert records[0]["file"] == str(tmp_path / "zero.h5")
    assert records[0]["shape"] == [11]
    assert records[0]["width_2x"] is None  # twice nothing is no level
    assert records[0]["lower_bounds"] == ["width_+1"]
    assert records[1]["sharpness"] == pytest.approx(0.25)
    assert records[1]["minima_found"] == [
        {"alpha": 0.0, "beta": None, "loss": 0.1, "persistence": pytest.approx(1), "on_border": False}
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(measured))))
    assert [row["label"] for row in rows] == ["zero", "other"]
    assert (rows[0]["width_2x"], rows[0]["lower_bounds"], rows[0]["shape"]) == ("", "width_+1", "11")
    assert float(rows[1]["width_+0.1"]) == records[1]["width_+0.1"]
    assert re.search(r"^width at 2x the centre +- ", as_table(measured), re.MULTILINE)


def test_what_is_above_vmax_counts_nowhere(tmp_path: Path) -> None:
    alpha = np.linspace(-1, 1, 21)
    loss = 0.1 + alpha**2
    loss[[2, 3]] = 50, 1e30  # far out
    (file,) = saved(tmp_path, far=a_surface({"train_loss": loss}, alpha=alpha))
    (all_of_it,), (near,) = (compare_files([file], **DEFAULTS | {"vmax": vmax}) for vmax in (None, 10.0))
    assert numbers(all_of_it)["convexity_largest"] == pytest.approx(1)
    assert numbers(near)["convexity_largest"] == 0
    assert numbers(near)["left_out"] == 2
    assert numbers(near)["minima"] == 2  # beyond the gap it goes down again, as far as is known


def test_different_units_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = dataclasses.replace(valley(), origin=Origin({"model": "mlp", "loss": "mse"}))
    with caplog.at_level(logging.WARNING):
        compare_files(saved(tmp_path, a=valley(), b=other), **DEFAULTS)
    assert re.search(r"loss differs.*: cross_entropy in .*a\.h5, mse in .*b\.h5", caplog.text)
    assert "norm differs" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"metric": "val_loss"}, r"no 'val_loss'; it has train_loss, test_loss, test_accuracy"),
        ({"radius": -1.0}, r"a\.h5: the radius must be positive, got -1"),
        ({"levels": ["1x"]}, "a level must be above the centre"),
        ({"levels": ["high"]}, r"expected a level such as \+0\.1 or 2x, got 'high'"),
        ({"labels": ["one"]}, "one --label for each surface, got 1 for 2"),
        ({"vmax": 0.05}, r"a\.h5: no point of the surface has a finite value"),
        ({"out": Path("a.gif")}, r"ends in \.png, \.pdf, \.svg, "),
        ({"out": Path("no/a.png")}, "there is no folder"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    files = saved(tmp_path, a=valley(), b=valley(2))
    with pytest.raises(InputError, match=text):
        compare_files(files, **DEFAULTS | changes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_surfaces_that_have_nothing_in_common_are_refused(tmp_path: Path) -> None:
    line, plane = saved(tmp_path, line=valley(), plane=bowl())
    with pytest.raises(InputError, match="lines and planes have no numbers in common"):
        compare_files([line, plane], **DEFAULTS)
    away = a_surface({"train_loss": np.ones(3)}, alpha=np.array([0.5, 1.0, 1.5]))
    with pytest.raises(InputError, match=r"away\.h5: the grid does not hold the centre"):
        compare_files([line, *saved(tmp_path, away=away)], **DEFAULTS)
    with pytest.raises(InputError, match=r"none\.h5: no such file"):
        compare_files([line, tmp_path / "none.h5"], **DEFAULTS)


def test_the_picture_lies_beside_the_first_surface_and_is_not_overwritten(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = saved(tmp_path, a=bowl(), b=bowl(2))
    assert run_main("compare", *files) == 0
    picture = tmp_path / "a_compare.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    said = capfd.readouterr()
    assert said.out.splitlines()[0].split() == ["a", "b"]
    assert f"drawn: {picture}" in said.err
    picture.write_text("mine")
    assert run_main("compare", *files) == 2
    assert "a_compare.png exists; give --overwrite to replace it" in capfd.readouterr().err
    assert picture.read_text() == "mine"
    assert run_main("compare", *files, "--overwrite") == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_numbers_for_programs_come_without_a_picture_unless_it_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = saved(tmp_path, a=valley(), b=valley(2))
    assert (
        run_main("compare", *files, "--json", "--level", "+0.2", "--level", "3x", "--label", "x", "--label", "y") == 0
    )
    records = json.loads(capfd.readouterr().out)
    assert [record["label"] for record in records] == ["x", "y"]
    assert [key for key in records[0] if key.startswith("width")] == ["width_+0.2", "width_3x"]
    assert run_main("compare", *files, "--csv", "--metric", "test_loss", "--out", tmp_path / "c.svg") == 0
    assert len(list(csv.reader(io.StringIO(capfd.readouterr().out)))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5", "c.svg"]
    assert run_main("compare", *files, "--json", "--csv") == 2
    assert run_main("compare", *files, "--radus", "1") == 2
    assert "--radius" in capfd.readouterr().err

"""Surfaces that do not tell where they come from: merging and going on refuse them in one line."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.formats import export_file
from lossgrid.origin import refuse_unknown_origin, settings_of
from lossgrid.origin.merge import merge_files
from lossgrid.surface import Origin, Surface
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import measured
from tests.pace import soon

DATA = (torch.linspace(-1, 1, 24).reshape(12, 2), torch.arange(12) % 3)


def computed(path: Path, alpha: str) -> Surface:
    torch.manual_seed(0)
    return lossgrid.evaluate(nn.Linear(2, 3), DATA, alpha=alpha, out=path)


def changed(surface: Surface, path: Path, **changes: Any) -> Path:
    store.save(path, replace(surface, **changes))
    return path


@pytest.mark.parametrize(
    ("inside", "name"),
    [
        ("", "digests"), ("", "device_type"), ("", "recipe"), ("", "threads"), ("", "command"), ("digests", "theta"),
        ("digests", "eta"), ("digests", "data"), ("recipe", "variant"), ("recipe", "cuda_graphs"),
    ],
)  # fmt: skip
def test_a_part_of_the_origin_that_is_missing_is_named(tmp_path: Path, inside: str, name: str) -> None:
    surface = computed(tmp_path / "a.h5", "-1:0:3")
    other = computed(tmp_path / "b.h5", "0:1:3")
    told: dict[str, Any] = {**other.provenance}
    if inside:
        told[inside] = {key: value for key, value in told[inside].items() if key != name}
    else:
        del told[name]
    lacking = changed(other, tmp_path / "c.h5", origin=Origin.from_json(other.config, told))
    with pytest.raises(InputError, match=rf"c\.h5 does not tell .*{name}"):
        merge_files([tmp_path / "a.h5", lacking], tmp_path / "out.h5", overwrite=False)
    with pytest.raises(InputError, match=rf"c\.h5 does not tell .*{name}"):
        computed(lacking, "0:1:3")
    refuse_unknown_origin(surface)


@pytest.mark.parametrize("size", ["imported", 0, -5])
def test_batches_that_none_has_are_refused(tmp_path: Path, size: Any) -> None:
    surface = computed(tmp_path / "a.h5", "-1:0:3")
    told = {**surface.provenance, "recipe": {**surface.provenance["recipe"], "batch_size": size}}
    forged = changed(surface, tmp_path / "b.h5", origin=Origin.from_json(surface.config, told))
    with pytest.raises(InputError, match=rf"b\.h5 tells batches of {size} samples, which none has; choose another"):
        computed(forged, "-1:0:3")


def test_a_surface_computed_from_python_has_no_settings_to_print(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.h5 was computed from Python, of a network and data that no settings"):
        settings_of(computed(tmp_path / "a.h5", "-1:0:3"))


def test_a_split_without_a_digest_is_named(tmp_path: Path) -> None:
    surface = computed(tmp_path / "a.h5", "-1:0:3")
    told = {**surface.provenance, "digests": {**surface.provenance["digests"], "data": {"test": "d"}}}
    with pytest.raises(InputError, match=r"b\.h5 has no digest of the data of split train"):
        refuse_unknown_origin(
            store.read(changed(surface, tmp_path / "b.h5", origin=Origin.from_json(surface.config, told)))
        )


def test_parts_that_make_a_surface_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, alpha in (("a.h5", "-1:0:3"), ("b.h5", "0:1:3")):
        computed(tmp_path / name, alpha)
    monkeypatch.setattr("lossgrid.machine.memory.memory_left", lambda: 300.0)
    with pytest.raises(InputError, match="a surface of 5 points takes 495 bytes, and 300 bytes of memory are left"):
        merge_files([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "out.h5", overwrite=False)
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("axes", [{"alpha": (0, 1, 10**12)}, {"alpha": (0, 1, 10**6), "beta": (0, 1, 10**6)}])
@pytest.mark.parametrize("kept", [True, False])
def test_too_many_points_are_refused_from_python_too(tmp_path: Path, axes: dict[str, Any], kept: bool) -> None:
    began = time.monotonic()
    with pytest.raises(InputError, match="a surface of 1,000,000,000,000 points takes"):
        lossgrid.evaluate(nn.Linear(2, 3), DATA, **axes, out=tmp_path / "s.h5" if kept else None)
    assert time.monotonic() - began < soon(10)
    assert list(tmp_path.iterdir()) == []


def test_status_tells_the_centre_of_every_split(tmp_path: Path) -> None:
    surface = computed(tmp_path / "a.h5", "-1:1:3")
    metrics = {
        "test_loss": np.array([1.0, 2.5e-7, 3.0]), "train_loss": np.array([1.0, 0.330174, 3.0]),
        "train_accuracy": np.array([0.1, 0.894, 0.2]),
    }  # fmt: skip
    summary = summarise(replace(surface, **measured(metrics)))
    assert summary["centre"] == {"train": {"loss": 0.330174, "accuracy": 0.894}, "test": {"loss": 2.5e-7}}
    lines = as_lines(summary)
    assert "at the centre: train loss 0.3302 ± 0.15, accuracy 0.8940 ± 0.14" in lines
    assert "at the centre: test loss 2.500e-07" in lines
    assert "train_loss: 0.330174 to 3, at the centre 0.330174" in lines
    off = computed(tmp_path / "b.h5", "1:2:3")
    assert summarise(off)["centre"] == {}
    assert not any(line.startswith("at the centre") for line in as_lines(summarise(off)))


def test_a_rounding_that_is_not_finite_is_told_as_such(tmp_path: Path) -> None:
    surface = computed(tmp_path / "a.h5", "-1:1:3")
    told = {"precision": "bfloat16", "points": [[0, 2]], "largest": {"train_loss": None, "train_accuracy": 0.25}}
    read = store.read(changed(surface, tmp_path / "b.h5", rounding=told))
    assert "by at most: train_loss not finite in one of them, train_accuracy 2.5e-01" in "\n".join(
        as_lines(summarise(read))
    )
    merge_files(
        [tmp_path / "b.h5", changed(surface, tmp_path / "c.h5", rounding=told)], tmp_path / "d.h5", overwrite=False
    )
    assert store.read(tmp_path / "d.h5").rounding == {**told, "beyond": False}
    outside = {**told, "points": [[0, 3]]}
    with pytest.raises(InputError, match=r"rounding: \[0, 3\] is no point of the grid"):
        store.read(changed(surface, tmp_path / "e.h5", rounding=outside))


def test_names_that_belong_to_no_file_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for read in (store.read, store.read_directions, store.read_reference, lambda path: export_file(path, to="csv")):
        for name in ("absent.h5", "n" * 300, "file/inside", "."):
            with pytest.raises(InputError, match="expected") as refusal:
                read(tmp_path / name)
            assert "\n" not in str(refusal.value)

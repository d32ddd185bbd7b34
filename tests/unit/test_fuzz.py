"""Damaged files: whatever is done to their bytes, the outcome is what the file held, or one line that refuses it."""

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.formats.loss_landscape import imported
from lossgrid.surface import Work
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import a_grid, quantities, results
from tests.families import further

METRICS = quantities("train")
GRID = a_grid(7, 5)
SIGNS = (b"GCOL", b"TREE", b"SNOD", b"HEAP", b"\x89HDF")  # where the structures of HDF5 begin
EACH = 320  # mutations of a kind of file and seed


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.store.contents.SECONDS", 0.2)


def surface(path: Path, *, complete: bool) -> Path:
    config = {"model": "mlp", "splits": ["train"], "alpha": str(GRID.alpha), "beta": str(GRID.beta)}
    provenance = {"writer": "root", "digests": {"theta": "t", "data": {"train": "d"}}, "machines": {"host" * 40: "0"}}
    identity = store.create(path, GRID, METRICS, config=config, provenance=provenance)
    file = store.SurfaceFile(path, METRICS)
    for row in range(5 if complete else 3):
        file.write(results(Work(row, 0, 7), np.random.default_rng(row).random((7, 3)) + 1), rank=row)
    file.close()
    if complete:
        store.finish(identity)
    return path


def directions(path: Path) -> Path:
    tensors = {f"layer{i}.weight": np.random.default_rng(i).normal(size=(5, 4)) for i in range(30)}
    store.write_directions(path, [tensors, tensors], about={"seed": 0}, overwrite=False)
    return path


def reference(path: Path) -> Path:
    values = np.random.default_rng(0).random((5, 7)) + 1
    x, y = GRID.alpha.values(), np.linspace(0, 2, 5)
    store.write_reference(path, store.ReferenceSurface(x, y, {"train_loss": values, "train_acc": values}, "d.h5"))
    return path


def read_surface(path: Path, *, to_write: bool = False) -> dict[str, np.ndarray]:
    found = store.read(path, to_write=to_write)
    assert all("\n" not in line for line in as_lines(summarise(found)))
    return {**found.values, "alpha": found.alpha, "status": found.status}


def read_directions(path: Path) -> dict[str, np.ndarray]:
    return {
        f"{i}/{j}": array for i, one in enumerate(store.read_directions(path)) for j, array in enumerate(one.arrays)
    }


def read_reference(path: Path) -> dict[str, np.ndarray]:
    return dict(imported(store.read_reference(path), path, path).values)


def outcome(read: Callable[[Path], dict], path: Path) -> tuple[dict | None, str]:
    """Return what is read, and with what words it is refused; every other exception is a failure."""
    try:
        return read(path), ""
    except InputError as error:
        return None, str(error)


def mutated(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    kind = chance.choice(("flip", "flips", "cut", "zero", "zero behind a sign", "swap"))
    if kind == "cut":
        del damaged[chance.randrange(len(damaged)) :]
    elif kind in ("flip", "flips"):
        for _ in range(1 if kind == "flip" else chance.randrange(2, 20)):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    else:
        start = chance.randrange(len(damaged) - 64)
        if kind == "zero behind a sign":
            found = [at for sign in SIGNS for at in places(content, sign)]
            start = chance.choice(found) + chance.choice((4, 8, 16, 24))
        there = chance.randrange(len(damaged) - 64)
        damaged[start : start + 64] = damaged[there : there + 64] if kind == "swap" else bytes(64)
    return bytes(damaged)


def places(content: bytes, sign: bytes) -> list[int]:
    found, at = [], content.find(sign)
    while at >= 0:
        found.append(at)
        at = content.find(sign, at + 1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "read", "protected"),
    [
        (lambda path: surface(path, complete=True), read_surface, True),
        (lambda path: surface(path, complete=False), partial(read_surface, to_write=True), False),
        (directions, read_directions, False),
        (reference, read_reference, False),
    ],
    ids=["complete surface", "incomplete surface", "directions", "reference surface"],
)
@pytest.mark.parametrize("seed", [0, further(1)])
def test_damaged_bytes_are_refused_in_one_line_or_change_nothing_else(
    tmp_path: Path, make: Callable[[Path], Path], read: Callable[[Path], dict], protected: bool, seed: int
) -> None:
    original = make(tmp_path / "original.h5")
    content, whole = original.read_bytes(), read(original)
    chance, path = random.Random(seed), tmp_path / "damaged.h5"
    refused = 0
    for _ in range(EACH):
        path.write_bytes(mutated(content, chance))
        found, words = outcome(read, path)
        assert "\n" not in words
        if found is None:
            refused += 1
        elif protected:
            for name, array in whole.items():
                np.testing.assert_array_equal(found[name], array)
    assert 0 < refused < EACH


@pytest.mark.timeout(30)
def test_a_file_in_which_hdf5_never_comes_to_an_end_is_refused(tmp_path: Path) -> None:
    path = surface(tmp_path / "s.h5", complete=True)
    content = bytearray(path.read_bytes())
    start = content.index(b"GCOL") + 16
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"HDF5 does not come to an end with it"):
        store.read(path)
    with h5py.File(tmp_path / "text.h5", "w") as file:
        file.attrs["format"] = "another"
    with pytest.raises(InputError, match="not a lossgrid surface"):  # the next file is read as ever
        store.read(tmp_path / "text.h5")

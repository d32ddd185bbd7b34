"""NumPy archives as data: their arrays as they are, in any layout; everything else is refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lossgrid import data, models, store
from lossgrid.errors import InputError
from lossgrid.machine import memory
from lossgrid.readers import npz
from lossgrid.readers.spread import spread
from lossgrid.surface import PENDING
from tests.unit.test_compare import run_main

X = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 4


def archive(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def members(path: Path, **contents: bytes) -> Path:
    """Write an archive of members with any content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def load(path: Path, split: str = "train", **options: Any) -> data.Split:
    return data.load(f"npz:{path}", {}, splits=(split,), **options)[split]


def tensors(path: Path, split: str = "train", **options: Any) -> tuple[Any, Any]:
    found = load(path, split, **options).tensors
    assert found is not None
    return found


def test_arrays_are_read_as_they_are(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.npz", train_inputs=X, train_targets=Y, test_inputs=X[:5], test_targets=Y[:5] * 1.5)
    inputs, targets = tensors(path)
    assert torch.equal(inputs, torch.from_numpy(X))
    assert torch.equal(targets, torch.from_numpy(Y))
    assert inputs.dtype == torch.float32
    assert data.facts({"train": load(path)}) == {"in_features": 3, "num_classes": 4}
    test = load(path, "test")
    assert (test.samples, test.classification, test.num_classes) == (5, False, None)
    assert tensors(path, "test")[1].tolist() == [0.0, 1.5, 3.0, 4.5, 0.0]


@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "<i8", ">i4", "u4", "f2", ">f4", "f8", "c8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_numbers_of_all_types_and_orders_are_exact(tmp_path: Path, dtype: str, order: Any, save: Any) -> None:
    numbers = np.asarray(np.arange(24).reshape(4, 3, 2) % 7, dtype=dtype, order=order)
    save(tmp_path / "d.npz", train_inputs=numbers, train_targets=np.arange(4))
    inputs, _ = tensors(tmp_path / "d.npz")
    expected, _ = data.split_of((numbers, np.arange(4)), source="given").tensors or ()
    assert inputs.dtype == expected.dtype
    assert torch.equal(inputs, expected)
    assert torch.equal(inputs.to(torch.complex128), torch.from_numpy(numbers.astype(np.complex128)))


def test_several_inputs_and_targets_are_dicts_by_name(tmp_path: Path) -> None:
    several = {"train_inputs.ids": Y[:, None], "train_inputs.mask": X > 0, "train_targets.y": X, "train_targets.w": Y}
    path = archive(tmp_path / "d.npz", **several)
    inputs, targets = tensors(path)
    assert {name: leaf.dtype for name, leaf in inputs.items()} == {"ids": torch.int64, "mask": torch.bool}
    assert torch.equal(inputs["mask"], torch.from_numpy(X > 0))
    assert sorted(targets) == ["w", "y"]
    assert torch.equal(targets["y"], torch.from_numpy(X))


def test_few_samples_are_spread_and_keep_the_number_of_classes(tmp_path: Path) -> None:
    path = archive(tmp_path / "d.npz", train_inputs=X, train_targets=Y)
    few = load(path, max_samples=2)
    chosen = spread(12, 2)
    assert (few.samples, few.num_classes) == (2, 4)
    assert torch.equal(tensors(path, max_samples=2)[0], torch.from_numpy(X[chosen]))


def test_large_members_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "CHUNK", 7)
    path = archive(tmp_path / "d.npz", train_inputs=X, train_targets=Y)
    assert torch.equal(tensors(path)[0], torch.from_numpy(X))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train_inputs": X, "train_targets": Y[:5]}, r"got shapes \(12, 3\) and \(5,\)"),
        ({"train_inputs.a": X, "train_inputs.b": X[:5], "train_targets": Y}, "tensors of as many samples"),
        ({"train_inputs": X[:0], "train_targets": Y[:0]}, "n at least 1"),
        ({"train_inputs": np.float64(3), "train_targets": Y}, r"inputs \(n, \.\.\.\)"),
        ({"train_inputs": X * np.nan, "train_targets": Y}, "the inputs hold numbers that are not finite"),
        ({"train_inputs": X, "train_targets": X[:, 0] * np.inf}, "the targets hold numbers that are not finite"),
        ({"train_inputs": X.astype(object), "train_targets": Y}, "train_inputs.npy has dtype object; expected numbers"),
        ({"train_inputs": X.astype("U9"), "train_targets": Y}, "dtype <U36; expected numbers|<U9; expected numbers"),
        ({"train_inputs": np.zeros(12, "f4,i4"), "train_targets": Y}, "expected numbers"),
        ({"train_inputs": X, "train_targets": Y.astype("M8[s]")}, "expected numbers"),
        ({"train_inputs": X}, "expected an array train_targets, got train_inputs"),
        ({"test_inputs": X, "test_targets": Y, "b_inputs.x": X}, "train_targets; it holds the splits b, test"),
        ({"x": X, "y": Y}, "expected arrays train_inputs and train_targets; it holds no split, but x, y"),
        ({}, "it holds no split, but none"),
        ({"train_inputs": X, "train_inputs.a": X, "train_targets": Y}, "each of several, got both"),
        ({f"a{i}": Y for i in range(50)}, "a0, .* and 30 more"),
    ],
)
def test_what_is_no_data_is_one_line(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    path = archive(tmp_path / "d.npz", **arrays)
    with pytest.raises(InputError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert "npz" in str(caught.value)


def header(text: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text.encode() + content


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        npy(X)[:-3],
        npy(X) + b"more",
        npy(X)[:40],
        header(HUGE % "1000000000000, 3", b"1234"),
        header(HUGE % "4294967296, 4294967296", b""),
        header(HUGE % "-2, -3", bytes(24)),
        header(HUGE % "0, 1000000000000000000000000000000"),
        header("(" * 9000),
        header("__import__('os').abort()"),
        header(HUGE % "1", bytes(4), version=b"\x03\x00"),
        header(HUGE % "1" + " " * 100_000, bytes(4), version=b"\x02\x00"),
        header("{'descr': '|V3', 'fortran_order': False, 'shape': (1,)}", b"123"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_forged_arrays_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = members(tmp_path / "d.npz", train_inputs=content, train_targets=npy(Y))
    with pytest.raises(InputError, match=r"its array train_inputs\.npy (is damaged|has dtype)") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1200


def test_a_pickle_in_an_array_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    bombs = np.empty(1, object)
    bombs[0] = Bomb()
    path = archive(tmp_path / "d.npz", train_inputs=bombs, train_targets=Y[:1])
    with pytest.raises(InputError, match="dtype object"):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = members(tmp_path / "d.npz", train_inputs=npy(np.zeros((10**6, 4))), train_targets=npy(np.zeros(10**6)))
    assert path.stat().st_size < 10**5
    monkeypatch.setattr(memory, "memory_left", lambda: 33e6)  # enough for the inputs alone
    monkeypatch.setattr(npz, "_array", lambda *_: pytest.fail("it was read"))
    with pytest.raises(InputError, match=r"split 'train' takes 40 MB, and 33 MB of memory are left"):
        load(path)


def test_a_size_that_is_forged_is_damage(tmp_path: Path) -> None:
    path = members(tmp_path / "d.npz", train_inputs=npy(X), train_targets=npy(Y))
    content, size = path.read_bytes(), struct.pack("<I", len(npy(X)))
    for forged in (0, len(npy(X)) - 4, len(npy(X)) + 4, 2**31):
        (tmp_path / "f.npz").write_bytes(content.replace(size, struct.pack("<I", forged)))
        with pytest.raises(InputError, match=r"damaged|of memory are left"):
            load(tmp_path / "f.npz")


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    good = archive(tmp_path / "d.npz", train_inputs=X, train_targets=Y).read_bytes()
    for content in (b"", b"text", npy(X), good[:-10], good[:300], good[100:]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"--data npz:FILE: .*bad\.npz") as caught:
            load(tmp_path / "bad.npz")
        assert "\n" not in str(caught.value)
    for place in range(0, len(good), 11):  # a flipped byte changes no number unseen
        (tmp_path / "bad.npz").write_bytes(good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :])
        with suppress(InputError):
            inputs, targets = tensors(tmp_path / "bad.npz")
            assert torch.equal(inputs, torch.from_numpy(X))
            assert torch.equal(targets, torch.from_numpy(Y))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "it is a directory"),
        ("absent.npz", "No such file.*expected a NumPy archive"),
        ("pipe", "a named pipe"),
        ("loop", "symbolic links"),
        ("x" * 300, "the name is too long"),
        ("null\0", "a null character"),
    ],
)
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, words: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=words):
        data.load(f"npz:{tmp_path}/{name}", {}, splits=("train",))


def test_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    archive(tmp_path / "d.npz", train_inputs=X, train_targets=Y)
    assert load(Path("~/d.npz")).samples == 12


@pytest.mark.slow
def test_a_run_on_an_archive_goes_on_from_the_same_numbers_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = {"train_inputs": X, "train_targets": Y, "val_inputs": X + 1, "val_targets": Y}
    first, copy, other = (archive(tmp_path / f"{name}.npz", **own) for name in ("first", "copy", "other"))
    archive(other, **own | {"val_inputs": X + 2})

    def run(file: Path, splits: str = "train,val", out: str = "s.h5") -> int:
        settings = ("--model", "mlp", "--alpha", "-1:1:3", "--splits", splits, "--out", out)
        return run_main("run", *settings, "--data", f"npz:{file}")

    assert run(first) == 0
    before = store.read(Path("s.h5")).values
    torch.manual_seed(0)
    model = models.build("mlp", {}, facts={"in_features": 3, "num_classes": 4}).eval().requires_grad_(False)
    loss = torch.nn.functional.cross_entropy(model.double()(torch.from_numpy(X + 1).double()), torch.from_numpy(Y))
    assert before["val_loss"][1] == pytest.approx(float(loss), rel=1e-5)
    with h5py.File("s.h5", "r+") as file:
        file["status"][::2] = PENDING
        file["val_loss"][::2] = np.nan
        file.attrs.modify("complete", 0)
    assert run(copy) == 0
    assert np.array_equal(store.read(Path("s.h5")).values["val_loss"], before["val_loss"])
    capfd.readouterr()
    assert run(other) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert "val" in error
    assert "data" in error
    assert run(first, "test", "other.h5") == 2
    assert "it holds the splits train, val" in capfd.readouterr().err

"""Pictures in folders as data: their pixels by slow references; what is no picture or no folder is one line."""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import PIL.Image
import pytest
import torch

from lossgrid import data, models, store
from lossgrid.errors import InputError
from lossgrid.machine import memory
from lossgrid.readers import images, pictures
from lossgrid.readers.normalisation import NORMALISATIONS, channels_of
from lossgrid.readers.spread import spread
from lossgrid.surface import PENDING
from tests.unit.test_compare import run_main

Pixels = np.ndarray

CHANCE = np.random.default_rng(3)


def pixels(height: int = 6, width: int = 6, channels: int = 3) -> Pixels:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return CHANCE.integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, content: Pixels | None = None, **options: Any) -> Pixels:
    """Write a picture and return its pixels."""
    content = pixels() if content is None else content
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(content).save(path, **options)
    return content


def load(folder: Path, split: str = "train", max_samples: int | None = None, **args: Any) -> data.Split:
    return data.load(f"images:{folder}", args, splits=(split,), max_samples=max_samples)[split]


def tensors(folder: Path, split: str = "train", **args: Any) -> tuple[Pixels, list[int]]:
    inputs, targets = load(folder, split, **args).tensors or ()
    return inputs.numpy(), targets.tolist()


def one(folder: Path, **args: Any) -> Pixels:
    """Return the only picture of a folder, ``(c, h, w)`` in 0..255."""
    return 255 * tensors(folder, **args)[0][0].astype(np.float64)


def refused(folder: Path, words: str, split: str = "train", **args: Any) -> str:
    with pytest.raises(InputError, match=words) as caught:
        load(folder, split, **args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two classes, three and two pictures, for training, and one picture for testing."""
    for name in ("train/cat/b.png", "train/cat/a.png", "train/cat/C.PNG", "train/ant/10.png", "train/ant/9.bmp"):
        write(tmp_path / name)
    write(tmp_path / "test/cat/x.png")
    return tmp_path


def test_pictures_and_classes_are_in_sorted_order(folder: Path) -> None:
    for ignored in (".hidden/x.png", "train/.hidden/x.png", "train/cat/._a.png"):
        write(folder / ignored)
    (folder / "train/cat/notes.txt").write_text("mine")
    (folder / "train/labels.csv").write_text("mine")
    found, classes = tensors(folder)
    names = ["ant/10.png", "ant/9.bmp", "cat/C.PNG", "cat/a.png", "cat/b.png"]
    expected = [np.asarray(PIL.Image.open(folder / "train" / name), np.float64) / 255 for name in names]
    assert classes == [0, 0, 1, 1, 1]
    assert (found.dtype, found.shape) == (np.float32, (5, 3, 6, 6))
    np.testing.assert_allclose(found, np.stack(expected).transpose(0, 3, 1, 2), rtol=1e-7)
    split = load(folder)
    assert split.source == "data images, split 'train'"
    assert data.facts({"train": split}) == {"in_features": 108, "in_channels": 3, "num_classes": 2}


def test_a_class_has_the_number_of_the_training_split(folder: Path) -> None:
    assert tensors(folder, "test")[1] == [1]
    assert load(folder, "test").num_classes == 2
    write(folder / "a/ant/x.png")
    write(folder / "a/dog/x.png")
    refused(folder, "the split train numbers the classes, and it lacks dog of the split a", split="a")


def test_without_a_training_split_the_first_one_numbers_the_classes(tmp_path: Path) -> None:
    for name in ("one/a/x.png", "one/b/x.png", "two/b/x.png"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert tensors(tmp_path, "two")[1] == [1]


@pytest.mark.parametrize("name", ["li", "imagenet", "none", "lists"])
def test_pictures_are_normalised_as_by_a_slow_reference(folder: Path, name: str) -> None:
    mean, deviation = ([0.5, 0, 1], [0.25, 1, 2]) if name == "lists" else NORMALISATIONS[name]
    plain, _ = tensors(folder)
    found, _ = tensors(folder, normalize=[mean, deviation] if name == "lists" else name)
    for n, c, y, x in np.ndindex(*plain.shape):
        assert found[n, c, y, x] == pytest.approx((float(plain[n, c, y, x]) - mean[c]) / deviation[c], abs=2e-6)


def test_grey_pictures_have_one_channel(folder: Path) -> None:
    found, _ = tensors(folder, mode="l", normalize=[[0.5], [0.25]])
    colours, _ = tensors(folder)
    grey = np.einsum("nchw,c->nhw", colours.astype(np.float64), [0.299, 0.587, 0.114])
    assert found.shape == (5, 1, 6, 6)
    np.testing.assert_allclose(found[:, 0], (grey - 0.5) / 0.25, atol=1.01 / 255 / 0.25)


def triangle(content: Pixels, size: int) -> Pixels:
    """Return rows of pixels resized along the first dimension: weights of a triangle as wide as two new pixels."""
    scale = len(content) / size
    width = max(scale, 1.0)
    new = []
    for i in range(size):
        centre = (i + 0.5) * scale
        weights = np.array([max(0.0, 1 - abs(k + 0.5 - centre) / width) for k in range(len(content))])
        new.append(np.tensordot(weights / weights.sum(), content, axes=(0, 0)))
    return np.array(new)


@pytest.mark.parametrize(
    ("shape", "resize", "expected"),
    [
        ((20, 13), 8, (12, 8)),
        ((13, 20), 8, (8, 12)),
        ((7, 7), 12, (12, 12)),
        ((9, 14), "5,30", (5, 30)),
        ((9, 14), [5, 30], (5, 30)),
        ((9, 14), (9, 14), (9, 14)),
    ],
)
def test_pictures_are_resized_as_by_a_slow_reference(
    tmp_path: Path, shape: Any, resize: Any, expected: tuple[int, int]
) -> None:
    content = write(tmp_path / "train/a/x.png", pixels(*shape))
    found = one(tmp_path, resize=resize)
    assert found.shape == (3, *expected)
    reference = triangle(triangle(content.astype(np.float64), expected[0]).swapaxes(0, 1), expected[1]).swapaxes(0, 1)
    np.testing.assert_allclose(found, reference.transpose(2, 0, 1), atol=1.6)  # Pillow rounds twice


@pytest.mark.parametrize(
    ("crop", "rows", "columns"), [(4, (2, 6), (3, 7)), ("8,1", (0, 8), (4, 5)), ([3, 6], (2, 5), (2, 8))]
)
def test_the_centre_is_cropped(tmp_path: Path, crop: Any, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    content = write(tmp_path / "train/a/x.png", pixels(8, 9))
    # of an odd rest, torchvision's round() takes the even half: (9 - 4) / 2 is 2, (9 - 6) / 2 is 2, (8 - 3) / 2 is 2
    columns = (2, 6) if crop == 4 else columns
    np.testing.assert_allclose(one(tmp_path, crop=crop), content[slice(*rows), slice(*columns)].transpose(2, 0, 1))


def test_pictures_of_other_sizes_are_refused_without_a_size(folder: Path) -> None:
    write(folder / "train/cat/z.png", pixels(8, 7))
    message = refused(folder, r"expected pictures of one size, got 6 x 6 in .*10.png and 8 x 7 in .*z.png")
    assert message.endswith("give --data-arg resize=H,W")
    refused(folder, "14 x 14 in .* and 16 x 14 in .*; give --data-arg crop=N", resize=14)
    assert tensors(folder, resize="5,6")[0].shape == (6, 3, 5, 6)
    assert tensors(folder, resize=6, crop=6)[0].shape == (6, 3, 6, 6)
    refused(folder, r"10.png: --data-arg crop: it has 6 x 6 pixels, fewer than 7 x 7; give resize too", crop=7)


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "ppm", "tif", "tiff", "jpg", "jpeg", "webp"])
def test_all_formats_are_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"train/a/x.{ending}"
    write(path, np.full((6, 6, 3), 96, np.uint8), **({"lossless": True} if ending == "webp" else {}))
    np.testing.assert_allclose(one(tmp_path), np.full((3, 6, 6), 96.0), atol=2.0 if "j" in ending else 1e-5)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_pictures_of_all_modes_become_colours(tmp_path: Path, mode: str) -> None:
    picture = PIL.Image.fromarray(pixels()).convert(mode)
    path = tmp_path / ("train/a/x.tif" if mode == "CMYK" else "train/a/x.png")
    path.parent.mkdir(parents=True)
    picture.save(path)
    np.testing.assert_allclose(one(tmp_path), np.asarray(picture.convert("RGB"), float).transpose(2, 0, 1), rtol=1e-6)


def test_of_several_frames_the_first_counts(tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(np.full((6, 6), value, np.uint8)) for value in (10, 200)]
    (tmp_path / "train/a").mkdir(parents=True)
    for ending in ("gif", "png", "webp"):
        frames[0].save(tmp_path / f"train/a/x.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    found, _ = tensors(tmp_path)
    assert found.shape == (3, 3, 6, 6)
    np.testing.assert_allclose(255 * found, 10.0, atol=0.01)


def test_deep_pixels_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train/a/x.png", np.full((6, 6), 40_000, np.uint16))
    refused(tmp_path, "x.png: its pixels are of Pillow's mode I;16; convert it to 8 bits")


def test_few_samples_are_spread_and_no_other_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        write(folder / f"train/bee/{number:02}.png")
    (folder / "train/zebra").mkdir()
    (folder / "train/zebra/broken.png").write_bytes(b"broken")
    every = sorted((folder / "train").glob("*/*"))
    chosen = [every[i] for i in spread(36, 5)]
    assert "zebra" not in {path.parent.name for path in chosen}
    seen: list[Path] = []
    original = images.read_picture
    monkeypatch.setattr(images, "read_picture", lambda path, form: seen.append(path) or original(path, form))
    few = load(folder, max_samples=5)
    assert seen == chosen
    assert (few.samples, few.num_classes) == (5, 4)
    expected = [["ant", "bee", "cat", "zebra"].index(path.parent.name) for path in chosen]
    assert (few.tensors or ())[1].tolist() == expected
    refused(folder, "broken.png: it is damaged, or no picture of the formats BMP, GIF")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"mode": "rgba"}, "mode: expected rgb or l, got 'rgba'"),
        ({"mode": ["rgb"]}, "mode: expected rgb or l"),
        ({"resize": 0}, "resize: expected N or H,W, numbers of pixels from 1 to 65536, got 0"),
        ({"resize": True}, "resize: .* got True"),
        ({"resize": 2.5}, "resize: .* got 2.5"),
        ({"resize": "3,4,5"}, "resize: .* got '3,4,5'"),
        ({"resize": "-3,4"}, "resize: "),
        ({"resize": 10**9}, "resize: "),
        ({"crop": "x"}, "crop: .* got 'x'"),
        ({"crop": {"a": 1}}, "crop: "),
        ({"crop": []}, "crop: "),
        ({"normalize": "mean"}, r"normalize: expected none, .* got 'mean' for 3 channels"),
        ({"normalize": "li", "mode": "l"}, "normalize: .* got 'li' for 1 channels"),
        ({"normalize": [[0.5], [0.5]]}, r"normalize: .* of 3 numbers each, .* got \[\[0.5\], \[0.5\]\] for 3 channels"),
        ({"normalize": [[0, 0, 0], [1, 0, 1]]}, "normalize: .* deviations above 0"),
        ({"normalize": [[0, 0, math.nan], [1, 1, 1]]}, "normalize: "),
        ({"normalize": [[0, 0, 10**400], [1, 1, 1]]}, "normalize: "),
        ({"normalize": [[0, 0, 0], [1, 1, 1e-50]]}, "normalize: "),
        ({"normalize": 3}, "normalize: "),
        ({"normalise": "li"}, "images takes resize, crop, mode, normalize, got 'normalise'"),
    ],
)
def test_values_that_options_do_not_take_are_refused(folder: Path, args: dict[str, Any], words: str) -> None:
    refused(folder, f"--data-arg:? {words}", **args)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_that_claims(width: int, height: int) -> bytes:
    start = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is damaged, or no picture"),
        (b"text", "it is damaged, or no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n", ".* no picture of the formats"),
        (png_that_claims(10_000, 10_000), "it is too large: Image size"),  # Pillow only warns here
        (png_that_claims(100_000, 100_000), "it is too large: Image size"),
        (png_that_claims(6, 6), "it is damaged"),
    ],
)
def test_damaged_pictures_are_named(folder: Path, content: bytes, words: str) -> None:
    (folder / "train/cat/bad.png").write_bytes(content)
    refused(folder, f"--data images:FOLDER: .*bad.png: {words}")


@pytest.mark.parametrize("ending", ["png", "bmp", "jpeg", "tiff", "webp", "ppm"])
def test_truncated_pictures_are_refused(tmp_path: Path, ending: str) -> None:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels(40, 40)).save(stream, ending)
    (tmp_path / "train/a").mkdir(parents=True)
    for part in (2, 3, 10):
        (tmp_path / f"train/a/x.{ending}").write_bytes(stream.getvalue()[: -len(stream.getvalue()) // part])
        refused(tmp_path, f"x.{ending}: it is (damaged|too large)")


@pytest.mark.slow
def test_flipped_bytes_give_pictures_or_one_line(tmp_path: Path) -> None:
    for ending in ("png", "gif", "jpeg", "tiff", "webp", "bmp"):
        stream = io.BytesIO()
        PIL.Image.fromarray(pixels()).save(stream, ending)
        good = stream.getvalue()
        (tmp_path / f"{ending}/a").mkdir(parents=True)
        for place in range(0, len(good), 1 + len(good) // 60):
            bad = good[:place] + bytes([good[place] ^ 255]) + good[place + 1 :]
            (tmp_path / f"{ending}/a/x.{ending}").write_bytes(bad)
            try:
                found = pictures.read_picture(tmp_path / f"{ending}/a/x.{ending}", pictures.Form("l", 6, (6, 6)))
            except InputError as error:
                found = np.zeros((1, 6, 6)) if "\n" not in str(error) else np.zeros(0)
            assert found.shape == (1, 6, 6)


def test_a_thin_picture_is_not_blown_up(tmp_path: Path) -> None:
    write(tmp_path / "train/a/x.png", pixels(1, 4000))
    refused(tmp_path, "x.png: --data-arg resize makes 1000 x 4000000 pixels of its 1 x 4000, too many", resize=1000)


def test_more_than_the_memory_left_is_refused_after_one_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_left", lambda: 2000.0)
    message = refused(folder, r"5 pictures of shape \(3, 6, 6\) take 2160 bytes, and 2000 bytes of memory are left")
    assert "--max-samples" in message
    assert load(folder, max_samples=4).samples == 4


def test_folders_without_pictures_are_refused(folder: Path, tmp_path: Path) -> None:
    refused(folder, r"expected FOLDER/<split>/<class>/\*.png; .* has no folder 'val', it holds test, train", "val")
    refused(folder, r"has no folder '\.\./", "../" + folder.name + "/train")
    refused(folder / "train", "has no folder 'train', it holds ant, cat")
    refused(folder / "train/cat", "has no folder 'train', it holds none")
    refused(folder / "absent", "absent cannot be read: No such file or directory; expected FOLDER/<split>")
    refused(folder / "train/cat/a.png", "cannot be read: Not a directory")
    refused(folder / ("x" * 300), "the name is too long")
    (folder / "flat").mkdir()
    write(folder / "flat/x.png")
    refused(folder, "flat holds no folder of a class", "flat")
    (folder / "train/dog").mkdir()
    refused(folder, r"expected pictures \(.bmp .* .webp\) in .*dog, it holds none")
    (folder / "train/dog/notes.txt").write_text("")
    (folder / "train/dog/images").mkdir()
    refused(folder, "dog, it holds images, notes.txt")


def test_links_and_pipes(folder: Path) -> None:
    (folder / "train/cat/z.png").symlink_to("a.png")
    assert load(folder).samples == 6
    (folder / "train/up").symlink_to("..")
    refused(folder, "expected pictures .* in .*up, it holds test, train")
    (folder / "train/up").unlink()
    (folder / "train/loop").symlink_to("loop")
    refused(folder, "loop cannot be read: Too many levels of symbolic links")
    (folder / "train/loop").unlink()
    (folder / "train/cat/zz.png").symlink_to("zz.png")
    refused(folder, "zz.png cannot be read: Too many levels of symbolic links")
    (folder / "train/cat/zz.png").unlink()
    os.mkfifo(folder / "train/cat/zz.png")
    refused(folder, "zz.png cannot be read: it is a named pipe")


def test_pillow_is_asked_for_only_when_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    refused(folder, r"--data images needs Pillow: pip install 'lossgrid\[images\]' or pip install pillow")
    assert channels_of("none", 2) == ((0.0, 0.0), (1.0, 1.0))


def test_damaged_metadata_warn_nobody(tmp_path: Path) -> None:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels()).save(stream, "png", pnginfo=None, transparency=(1, 2, 3))
    (tmp_path / "train/a").mkdir(parents=True)
    (tmp_path / "train/a/x.png").write_bytes(stream.getvalue())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one(tmp_path).shape == (3, 6, 6)


@pytest.mark.slow
def test_a_run_on_pictures_goes_on_from_another_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path_factory.mktemp("out")
    moved = out / "moved"

    def run(where: Path, *more: str) -> int:
        settings = ("--model", "mlp", "--alpha", "-1:1:3", "--splits", "train,test", "--out", out / "s.h5")
        return run_main("run", *settings, "--data", f"images:{where}", "--data-arg", "crop=4,5", *more)

    assert run(folder) == 0
    before = store.read(out / "s.h5").values["train_loss"]
    inputs, classes = tensors(folder, crop="4,5")
    torch.manual_seed(0)
    model = models.build("mlp", {}, facts={"in_features": 60, "num_classes": 2}).eval().requires_grad_(False)
    outputs = model.double()(torch.from_numpy(inputs).double())
    loss = torch.nn.functional.cross_entropy(outputs, torch.tensor(classes))
    assert before[1] == pytest.approx(float(loss), rel=1e-5)
    with h5py.File(out / "s.h5", "r+") as file:
        file["status"][::2] = PENDING
        file["train_loss"][::2] = np.nan
        file.attrs.modify("complete", 0)
    folder.rename(moved)
    assert run(moved) == 0
    assert np.array_equal(store.read(out / "s.h5").values["train_loss"], before)
    assert run(moved, "--data-arg", "mode=l") == 2
    assert "data_arg" in capfd.readouterr().err.splitlines()[-1].replace("-", "_")
    write(moved / "test/cat/x.png")
    assert run(moved) == 2
    assert "test" in capfd.readouterr().err.splitlines()[-1]

"""Networks of timm by name: values by slow references; what cannot be is refused in one line."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import h5py
import pytest
import torch

from lossgrid import data, models, store
from lossgrid.errors import InputError
from lossgrid.surface import PENDING
from tests.named import LINE, assert_values, of_picture, run

FAKE = ("--data", "rows:pictures")
ROWS = """
import torch
def pictures(split, size=16, count=20):
    drawn = torch.Generator().manual_seed(5)
    return torch.rand(count, 3, size, size, generator=drawn), torch.randint(6, (count,), generator=drawn)
"""
FACTS = {"num_classes": 6, "in_channels": 3, "in_features": 768}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds a function of data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "rows", raising=False)
    Path("rows.py").write_text(ROWS)
    return tmp_path


def test_timm_is_needed_only_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"^--model timm needs timm, which is not installed: pip install .* timm$"):
        models.build("timm:resnet18", {}, facts={})
    assert isinstance(models.build("mlp", {}, facts={"in_features": 4, "num_classes": 2}), torch.nn.Module)


def test_a_package_that_cannot_be_imported_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "installed"
    place.mkdir()
    (place / "timm.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(InputError, match="timm is installed, but importing it raised RuntimeError: operator"):
        models.build("timm:resnet18", {}, facts={})


def test_a_module_in_the_working_folder_does_not_stand_for_the_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("timm.py").write_text("def resnet18(): raise AssertionError('this is not timm')")
    monkeypatch.syspath_prepend(tmp_path)  # as of python -m
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(InputError, match=r"timm\.py hides the package timm; rename it"):
        models.build("timm:resnet18", {}, facts={})


def with_timm() -> None:
    pytest.importorskip("timm", reason="needs timm: pip install 'lossgrid[vision]'", exc_type=ImportError)


@pytest.mark.parametrize("variant", ["plain", "folded", "fused"])
def test_a_residual_network(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_timm()
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 0)
    torch.manual_seed(1)
    model = models.build("timm:test_resnet", {}, facts=FACTS)
    for name, entry in model.state_dict().items():  # running statistics that are not those of a new network
        if name.endswith(("running_mean", "running_var")):
            entry.add_(torch.rand(entry.shape))
    torch.save(model.state_dict(), "w.pt")
    named = ("--model", "timm:test_resnet", "--checkpoint", "w.pt")
    assert run(*named, *FAKE, *LINE, "--variant", variant) == 0
    assert store.read(Path("s.h5")).origin.recipe.variant == variant
    assert_values(model, zip(*pictures(), strict=True), of_picture)


@pytest.mark.parametrize(
    ("name", "args", "size"),
    [
        ("test_vit", {"img_size": 16}, 16),
        ("vit_tiny_patch16_224", {"img_size": 16, "patch_size": 8, "depth": 2}, 16),
        ("test_efficientnet", {}, 16),  # its normalisation has the activation in it
        ("test_convnext", {}, 32),
    ],
)
def test_other_networks(name: str, args: dict[str, int], size: int) -> None:
    with_timm()
    torch.manual_seed(1)
    model = models.build(f"timm:{name}", args, facts=FACTS)
    torch.save(model.state_dict(), "w.pt")
    given = [part for key, value in args.items() for part in ("--model-arg", f"{key}={value}")]
    named = ("--model", f"timm:{name}", *given, "--checkpoint", "w.pt", *FAKE, "--data-arg", f"size={size}")
    assert run(*named, *LINE) == 0
    assert_values(model, zip(*pictures(size), strict=True), of_picture)


def pictures(size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    tensors = data.load("rows:pictures", {"size": size}, splits=("train",))["train"].tensors
    assert tensors is not None
    return tensors


def test_arguments_and_facts_of_the_data() -> None:
    with_timm()
    grey = {"num_classes": 4, "in_channels": 1, "in_features": 64}
    model = models.build("timm:test_resnet", {"num_classes": 9}, facts=grey).eval()
    assert model(torch.rand(2, 1, 16, 16)).shape == (2, 9)


def test_the_origin_names_the_version() -> None:
    with_timm()
    assert run("--model", "timm:test_vit", "--model-arg", "img_size=16", *FAKE, *LINE) == 0
    origin = store.read(Path("s.h5")).origin
    assert origin.versions["timm"] == version("timm")
    assert origin.settings["model"] == "timm:test_vit"
    assert origin.weights == "random"


def test_another_version_is_named_where_values_differ(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with_timm()
    command = ("--model", "timm:test_vit", "--model-arg", "img_size=16", *FAKE, *LINE)
    assert run(*command) == 0
    with h5py.File("s.h5", "r+") as file:
        file["train_loss"][:] *= 1.01
        file["status"][0] = PENDING
        file.attrs["complete"] = 0
    monkeypatch.setattr("lossgrid.run.provenance.version", lambda name: "0.1" if name == "timm" else version(name))
    assert run(*command) == 2
    said = capfd.readouterr().err
    assert "holds values of another function" in said
    assert f"timm ({version('timm')} there, 0.1 now) changed since" in said


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("resnt18", {}, "has no network 'resnt18'; did you mean resnet18 or"),
        ("hf-hub:timm/resnet18", {}, "has no network 'hf-hub:timm/resnet18'"),
        ("local-dir:/tmp", {}, "has no network 'local-dir:/tmp'"),
        ("", {}, "has no network ''"),
        ("test_vit", {"pretrained": True}, "--model-arg pretrained: timm:test_vit gets no weights by it, as lossgrid"),
        ("test_vit", {"checkpoint_path": "w.pt"}, "give --checkpoint FILE"),
        ("test_vit", {"bogus": 3}, "model timm:test_vit raised TypeError: "),
    ],
)
def test_what_cannot_be_is_one_line(name: str, args: dict[str, object], words: str) -> None:
    with_timm()
    with pytest.raises(InputError) as caught:
        models.build(f"timm:{name}", args, facts={})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_of_the_user_with_the_name_of_a_library_is_said(caplog: pytest.LogCaptureFixture) -> None:
    Path("hf.py").write_text("raise AssertionError('this is not read')")
    with pytest.raises(InputError):
        models.build("hf:net", {}, facts={})
    assert "--model hf:net: hf: is the library, and" in caplog.text
    assert "hf.py is not read; a module of yours needs another name" in caplog.text

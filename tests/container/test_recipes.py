"""The recipes of jobs/container: both do the same, and their steps work in a Debian made for them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDER = ROOT / "jobs" / "container"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
DEFINITION = (FOLDER / "lossgrid.def").read_text()


def instructions(word: str) -> list[str]:
    """Return what follows an instruction of the Dockerfile, of each line."""
    return re.findall(rf"^{word} (.*)$", DOCKERFILE, re.MULTILINE)


def section(name: str) -> list[str]:
    """Return the lines of a section of the definition."""
    found = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", DEFINITION, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return [line.strip() for line in found[1].splitlines() if line.strip()]


def test_both_recipes_are_the_same() -> None:
    (base,), (torch,), (run,), (path,) = (instructions(word) for word in ("FROM", "ARG", "RUN", "ENV"))
    assert f"From: {base}\n" in DEFINITION
    assert section("arguments") == [torch]
    assert section("files") == instructions("COPY")
    assert section("post")[1:] == [run]
    assert section("environment") == [f"export {path}"]
    assert instructions("ENTRYPOINT") == ['["lossgrid"]']
    assert section("runscript") == ['exec lossgrid "$@"']


def test_what_is_copied_is_there_and_let_into_the_build() -> None:
    copied = [line.split() for line in instructions("COPY")]
    let_in = re.findall(r"^!(.*)$", (FOLDER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert [source for source, _ in copied] == let_in
    assert all((ROOT / source).exists() and target == f"/opt/lossgrid/{source}" for source, target in copied)
    # What the steps need: nothing else is in the container.
    assert {"pyproject.toml", "src", "jobs/setup.sh", "jobs/container/install.sh"} <= set(let_in)


def test_torch_is_that_of_the_tests() -> None:
    (torch,) = instructions("ARG")
    assert f"torch=${{LOSSGRID_TORCH:-{torch.partition('=')[2]}}}\n" in (ROOT / "jobs" / "setup.sh").read_text()


def test_the_program_for_job_files_starts_the_image(tmp_path: Path) -> None:
    (tmp_path / "apptainer").write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    (tmp_path / "apptainer").chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "LOSSGRID_IMAGE": "/images/lossgrid.sif"}
    line = [FOLDER / "lossgrid", "run", "--out", "a b.h5"]
    said = subprocess.run(line, env=env, text=True, capture_output=True, check=True).stdout.splitlines()
    gpu = ["--nv"] if Path("/dev/nvidiactl").exists() else []
    assert said == ["exec", *gpu, "/images/lossgrid.sif", "lossgrid", "run", "--out", "a b.h5"]
    refused = subprocess.run(line, env={"PATH": env["PATH"]}, text=True, capture_output=True, check=False)
    assert refused.returncode != 0
    assert "expected the full path of lossgrid.sif" in refused.stderr


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="NOT RUN: hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run(["hadolint", FOLDER / "Dockerfile"], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_the_steps_work_in_a_debian_of_their_own(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip("NOT RUN: needs root and debootstrap")
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    done = subprocess.run(
        ["bash", ROOT / "tests" / "container" / "root.sh", tmp_path / "root"],
        env=env, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "fit for runs" in done.stdout
    assert "5 of 5" in done.stdout

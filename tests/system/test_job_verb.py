"""lossgrid job: the files of the package, as they are; and that of PBS, with a PBS that only takes notes."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lossgrid import store
from lossgrid.cli.job_files import FILES as NAMES
from tests.conftest import ROOT, environment
from tests.slurm.conftest import FILES, array, change
from tests.system.conftest import Inside, done_points, running, wait_for_points

pytestmark = pytest.mark.beside

RUN = ("--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", "--alpha", "-1:1:30")


def test_every_file_has_a_name_and_is_printed_as_it_is(inside: Inside) -> None:
    assert {FILES / path for path in NAMES.values()} == {path for path in FILES.rglob("*") if path.is_file()}
    for name, path in NAMES.items():
        done = inside("job", name)
        assert (done.returncode, done.stdout) == (0, (FILES / path).read_text())
    listed = inside("job").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(NAMES)
    assert listed[0].split(maxsplit=1)[1].startswith("A surface on GPUs under SLURM")
    refused = inside("job", "lsf")
    assert refused.returncode == 2
    assert "expected one of slurm, slurm-cpu" in refused.stderr


def test_job_files_are_only_here() -> None:
    """A second copy would differ one day; jobs/ has links to them."""
    texts = {path.read_bytes() for path in FILES.rglob("*") if path.is_file()}
    links = {path for path in (ROOT / "jobs").iterdir() if path.is_symlink()}
    assert {path.resolve() for path in links} == set(FILES.resolve().iterdir())
    others = [path for path in (ROOT / "jobs").rglob("*") if path.is_file() and path not in links]
    assert not [path for path in others if path.read_bytes() in texts]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"slurm-chain", "site-modules", "site-cray", "site-conda"}))
def test_a_surface_is_named_after_its_checkpoint(name: str) -> None:
    text = (FILES / NAMES[name]).read_text()
    expected = (
        r"^    out=\$\{out:-\$\{checkpoint%\.\*\}\.h5\}"
        if name == "slurm-array"
        else r"^out=\$\{checkpoint%\.\*\}\.h5 "
    )
    assert re.search(expected, text, re.MULTILINE)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="NOT RUN: shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run(["shellcheck", *map(str, filter(Path.is_file, FILES.rglob("*")))], check=False)
    assert done.returncode == 0


class Pbs:
    """A folder with the PBS file for two ranks on this machine; ``qsub`` in its PATH notes how it was called."""

    def __init__(self, folder: Path, **changes: str) -> None:
        self.folder, self.handed_in = folder, folder / "handed_in"
        source = FILES / "pbs" / "surface.pbs"
        self.file = change(source, folder / "surface.pbs", options=array(RUN), **changes)
        (folder / "nodes").write_text("localhost\nlocalhost\n")
        program = f"#!{sys.executable}\nfrom lossgrid.cli.app import main\n\nmain()\n"
        for name, text in (("lossgrid", program), ("qsub", f'#!/bin/bash\necho "$@" >> {self.handed_in}\n')):
            (folder / "bin").mkdir(exist_ok=True)
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)

    def environment(self, restarts: int = 0) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {
            "PATH": path, "PBS_O_WORKDIR": str(self.folder), "PBS_NODEFILE": str(self.folder / "nodes"),
            "PBS_JOBID": "1.here", "RESTARTS": str(restarts), "SECONDS_PER_POINT": "0.1",
        }  # fmt: skip

    def run(self, restarts: int = 0) -> subprocess.CompletedProcess[str]:
        env = environment({**self.environment(restarts), "SECONDS_PER_POINT": "0"})
        return subprocess.run(
            ["bash", self.file], env=env, cwd="/", text=True, capture_output=True, timeout=120, check=False
        )


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
def test_pbs_job_hands_itself_in_again_until_the_surface_is_complete(tmp_path: Path) -> None:
    pbs = Pbs(tmp_path)
    out = tmp_path / "surface.h5"
    with running(0, "bash", pbs.file, cwd=tmp_path, env=pbs.environment()) as job:
        before = wait_for_points(job, out, 4)
        job.send_signal(signal.SIGUSR1)
        job.send_signal(signal.SIGUSR1)  # a second one, which must not end the ranks within their points
        _, said = job.communicate(timeout=60)
    assert job.returncode == 75, said
    assert before <= done_points(out) < 30
    assert pbs.handed_in.read_text() == "-v RESTARTS=1 surface.pbs\n"
    done = pbs.run(restarts=1)
    assert done.returncode == 0, done.stderr
    assert store.read(out).complete
    assert store.read(out).provenance["ranks"] == 2
    assert pbs.handed_in.read_text() == "-v RESTARTS=1 surface.pbs\n"


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="mpirun is not installed")
@pytest.mark.parametrize(("changes", "restarts"), [({"most_restarts": "3"}, 3), ({"script": ""}, 0), ({}, 0)])
def test_pbs_job_is_not_handed_in_without_end(tmp_path: Path, changes: dict[str, str], restarts: int) -> None:
    """With a lossgrid that stops in time and has done a point more, or in the last case none."""
    pbs = Pbs(tmp_path, **changes)
    more = 6 if changes else 5
    (tmp_path / "points").write_text("5\n")
    (tmp_path / "bin" / "lossgrid").write_text(
        f'#!/bin/bash\nif [ "$1" = run ]; then echo {more} > points; exit 75; fi\n'
        f'printf \'{{\\n  "done": %s,\\n  "pending": 1,\\n  "failed": 0\\n}}\\n\' "$(cat points)"\n'
    )
    done = pbs.run(restarts)
    assert done.returncode == 75, done.stderr
    assert not pbs.handed_in.exists()
    assert ("does not go into the queue again" in done.stderr) == ("script" not in changes)

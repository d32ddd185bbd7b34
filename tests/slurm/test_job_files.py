"""The job files as texts: what does not take a SLURM to see."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lossgrid import store
from tests.conftest import environment
from tests.slurm.conftest import FILES, JOBS, array, block_of, change

COMMON = "# ---- the same in every job file: run, stop in time, go on ----\n"
BATCH = sorted(JOBS.glob("*.sbatch"))


def test_what_nobody_changes_is_the_same_in_every_job_file() -> None:
    common = {file.read_text().split(COMMON)[1] for file in BATCH}
    assert len(BATCH) == 3
    assert len(common) == 1


@pytest.mark.parametrize("file", BATCH, ids=lambda file: file.name)
def test_sbatch_reads_every_option(file: Path) -> None:
    """It reads ``#SBATCH`` lines up to the first command only."""
    lines = file.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]
    options = {line.split("=")[0].split()[1] for line in lines[:first] if line.startswith("#SBATCH")}
    assert {"--requeue", "--open-mode", "--signal", "--time", "--cpus-per-task"} <= options
    assert ("--gpus-per-node" in options) == (file.name != "surface_cpu.sbatch")


def test_changing_a_job_file_changes_what_is_named_and_nothing_else(tmp_path: Path) -> None:
    source = JOBS / "surface.sbatch"
    changed = change(
        source, tmp_path / "job", sbatch={"nodes": "7"}, site="/my/site.env", options='(--alpha "0:1:2")', mpi="pmi2"
    )
    before, block, after = block_of(source.read_text())
    expected = block.replace("--nodes=2", "--nodes=7").replace("site= ", "site=/my/site.env ").replace("=pmix", "=pmi2")
    expected = expected.replace("checkpoint=resnet56.pt", "checkpoint=").replace("=${checkpoint%.*}.h5", "=surface.h5")
    head, _, rest = expected.partition("options=(")
    assert changed.read_text() == before + head + 'options=(--alpha "0:1:2")' + rest[rest.index("\n)\n") + 2 :] + after
    with pytest.raises(AssertionError, match="has 0 lines"):
        change(source, tmp_path / "job", nobody="1")


def test_mpirun_with_a_host_file(tmp_path: Path) -> None:
    if shutil.which("mpirun") is None:
        pytest.skip("mpirun is not installed")
    version = subprocess.run(["mpirun", "--version"], text=True, capture_output=True, check=True).stdout
    (tmp_path / "hosts").write_text("localhost:2\n" if "HYDRA" in version else "localhost slots=2\n")
    options = array(["--model", "mlp", "--data", "users:pictures", "--alpha", "-1:1:7"])
    copy = change(FILES / "mpirun.sh", tmp_path / "mpirun.sh", ranks="2", hosts="hosts", out="here.h5", options=options)
    # As pip installs it, for the interpreter of the tests: theirs may be an environment over another.
    program = tmp_path / "bin" / "lossgrid"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom lossgrid.cli.app import main\n\nmain()\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", copy.name],
        cwd=tmp_path, env=environment({"PATH": path}), text=True, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    surface = store.read(tmp_path / "here.h5")
    assert surface.complete
    assert surface.provenance["ranks"] == 2
    assert (tmp_path / "here_line.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("file", sorted((FILES / "sites").glob("*.env")), ids=lambda file: file.name)
def test_every_line_of_a_site_is_explained(file: Path) -> None:
    paragraphs = file.read_text().strip().split("\n\n")
    assert len(paragraphs) > 3
    for paragraph in paragraphs[1:]:
        *comments, command = paragraph.splitlines()
        assert comments, f"no word about {command}"
        assert all(line.startswith("# ") for line in comments)
        assert not command.startswith("#")


def run_alone(
    folder: Path, *, restarts: int, programs: dict[str, str], **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a job file of SLURM by itself, with ``programs`` in the place of those it calls."""
    site = folder / "site.env"
    (folder / "bin").mkdir()
    for name, text in {"mpirun": '#!/bin/bash\nshift 2\nexec "$@"\n', **programs}.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    site.write_text(f"export PATH={folder / 'bin'}:$PATH\n")
    copy = change(JOBS / "surface.sbatch", folder / "job", site=str(site), launcher="mpirun", **changes)
    env = {**os.environ, "SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "1", "SLURM_RESTART_COUNT": str(restarts)}
    return subprocess.run(["bash", copy], cwd=folder, env=env, text=True, capture_output=True, timeout=60, check=False)


def test_a_job_is_not_started_again_without_end(tmp_path: Path) -> None:
    note = {"lossgrid": f"#!/bin/bash\necho $1 >> {tmp_path / 'called'}\n"}
    done = run_alone(tmp_path, restarts=4, programs=note, most_restarts="3")
    assert done.returncode == 1
    assert "was started again 4 times, more than most_restarts" in done.stderr
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(("restarts", "looks"), [(1, 3), (0, 0)])
def test_a_job_that_was_started_again_waits_for_the_lock_of_a_lost_node(
    tmp_path: Path, restarts: int, looks: int
) -> None:
    """The lock is held at the first two looks; the surface has no point that is done or pending."""
    called = tmp_path / "called"
    lossgrid = (
        f"#!/bin/bash\nif [ $1 = run ]; then echo run >> {called}; exit 0; fi\n"
        f"echo look >> {called}\nif [ $(grep -c look {called}) -le 2 ]; then echo '  \"running\": true,'; fi\n"
    )
    sleep = f"#!/bin/bash\nif [ $1 = 5 ]; then echo wait >> {called}; fi\nexec /bin/sleep 0.1\n"
    done = run_alone(tmp_path, restarts=restarts, programs={"lossgrid": lossgrid, "sleep": sleep})
    assert done.returncode == 0, done.stderr
    before = called.read_text().split("run\n")[0].split()
    assert before.count("wait") == (2 if restarts else 0)
    assert before.count("look") == looks + 1  # and one for the points that are done

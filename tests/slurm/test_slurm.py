"""The files of lossgrid job slurm on a real SLURM of two nodes, other values at their top and nothing else changed."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from lossgrid import store
from lossgrid.surface import PENDING
from tests.conftest import launch
from tests.families import further
from tests.programs import users
from tests.slurm.conftest import JOBS, Cluster, array, change, has_ended
from tests.system.conftest import assert_same_bytes, done_points, values

# Batch size and variant by hand: runs that choose for themselves may choose differently, and last bits with it.
RUN = (
    "--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", "--splits", "train,test",
    "--batch-size", 60, "--variant", "plain", "--alpha", "-1:1:12", "--beta", "-0.5:0.5:10",
)  # fmt: skip
POINTS = 120
SMALL = {"nodes": "2", "ntasks-per-node": "1", "cpus-per-task": "1"}
WITH_GPU = {**SMALL, "gpus-per-node": "1"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the surface of an uninterrupted run by mpirun."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = launch(2, "lossgrid", "run", *map(str, RUN), cwd=folder, env=pace(0))
    assert done.returncode == 0, done.stderr
    return folder / "surface.h5"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Return where the surface of a job goes."""
    return tmp_path / "surface.h5"


def pace(seconds: float) -> dict[str, str]:
    """Let a point take so many seconds, by the two passes over its two splits."""
    return {"SECONDS_PER_POINT": str(seconds / 2)}


def wait_for_points(cluster: Cluster, job: str, out: Path, count: int) -> int:
    """Wait until a running job has done ``count`` points, and return how many it has."""
    cluster.wait(job, lambda now: has_ended(now) or done_points(out) >= count)
    done = done_points(out)
    assert count <= done < POINTS
    return done


def assert_complete(cluster: Cluster, job: str, out: Path, undisturbed: Path, *, restarts: int | None = None) -> None:
    """The job has ended well, after so many restarts, with the surface of an undisturbed run."""
    ended = cluster.end(job, timeout=150)
    log = Path(ended["StdOut"]).read_text()
    assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), log
    if restarts is not None:
        assert int(ended["Restarts"]) == restarts, log
    assert log.count("resuming surface.h5") == int(ended["Restarts"])
    assert log.count("this job ends in") == 1 + int(ended["Restarts"])
    assert store.read(out).complete
    assert_same_bytes(out, undisturbed)


@pytest.fixture(scope="module", autouse=True)
def limited(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Submit a job whose time limit is too short: first of all, as it takes longest and hardly computes.

    SLURM knows limits in minutes, looks at them every 30 s and sends signals up to a minute early: here 20 to 50 s
    after the start, so that ranks are ready and, with a minute of work for two, not yet done.
    """
    folder = tmp_path_factory.mktemp("limited")
    limit = {**WITH_GPU, "time": "1", "signal": "B:USR1@10"}
    copy = change(JOBS / "surface.sbatch", folder / "job.sbatch", sbatch=limit, options=array(RUN))
    return cluster.submit(copy, env=pace(1)), folder / "surface.h5"


@pytest.mark.parametrize(
    ("file", "launcher"),
    [("surface.sbatch", "srun"), ("surface.sbatch", "mpirun"), further("surface_cpu.sbatch", "srun")],
)
def test_a_surface_over_two_nodes(
    cluster: Cluster, tmp_path: Path, out: Path, undisturbed: Path, file: str, launcher: str
) -> None:
    gpus = {} if file == "surface_cpu.sbatch" else {"gpus-per-node": "2"}
    two_a_node = {**SMALL, "ntasks-per-node": "2", **gpus}
    copy = change(JOBS / file, tmp_path / file, sbatch=two_a_node, options=array(RUN), launcher=launcher)
    job = cluster.submit(copy, env=pace(0.05))
    assert_complete(cluster, job, out, undisturbed, restarts=0)
    told = cluster.job(job)
    assert told["NodeList"] == "n[1-2]"
    assert told.get("TresPerNode") == (None if file == "surface_cpu.sbatch" else "gres:gpu:2")
    surface = store.read(out)
    assert surface.provenance["ranks"] == 4
    assert set(np.unique(surface.rank)) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("launcher", "options"), [("srun", ["--signal=TERM"]), further("mpirun", ["--batch", "--signal=USR1"])]
)
def test_a_signal_sends_the_job_back_to_the_queue(
    cluster: Cluster, tmp_path: Path, out: Path, undisturbed: Path, launcher: str, options: list[str]
) -> None:
    copy = change(
        JOBS / "surface_cpu.sbatch", tmp_path / "job.sbatch", sbatch=SMALL, options=array(RUN), launcher=launcher
    )
    job = cluster.submit(copy, env=pace(0.1))
    before = wait_for_points(cluster, job, out, 5)
    cluster.run("scancel", *options, job)
    cluster.wait(job, lambda now: now["JobState"] == "PENDING")
    assert before <= done_points(out) < POINTS
    assert_complete(cluster, job, out, undisturbed, restarts=1)


@pytest.mark.parametrize("launcher", [further("srun"), "mpirun"])
def test_a_cancelled_job_leaves_a_file_to_go_on_with(
    cluster: Cluster, tmp_path: Path, out: Path, undisturbed: Path, launcher: str
) -> None:
    copy = change(
        JOBS / "surface_cpu.sbatch", tmp_path / "job.sbatch", sbatch=SMALL, options=array(RUN), launcher=launcher
    )
    job = cluster.submit(copy, env=pace(0.1))
    before = wait_for_points(cluster, job, out, 5)
    cluster.run("scancel", job)
    cluster.wait(job, lambda now: now["JobState"] == "CANCELLED" and "EndTime" in now)
    cluster.wait(job, lambda now: not cluster.run("squeue", "--noheader", "--jobs", job))
    now, right = values(out), values(undisturbed)
    kept = now["status"] != PENDING
    assert before <= np.count_nonzero(kept) < POINTS
    assert now["train_loss"][kept].tobytes() == right["train_loss"][kept].tobytes()
    again = launch(2, "lossgrid", "run", *map(str, RUN), cwd=out.parent, env=pace(0))
    assert again.returncode == 0, again.stderr
    assert_same_bytes(out, undisturbed)
    ended = cluster.job(job)
    assert (ended["JobState"], ended["Restarts"]) == ("CANCELLED", "0")


def test_a_lost_rank_ends_the_job_with_its_reason(
    cluster: Cluster, tmp_path: Path, out: Path, undisturbed: Path
) -> None:
    copy = change(JOBS / "surface_cpu.sbatch", tmp_path / "job.sbatch", sbatch=SMALL, options=array(RUN))
    job = cluster.submit(copy, env=pace(0.2))
    before = wait_for_points(cluster, job, out, 5)
    os.kill(pid_of_task(job, 1), signal.SIGKILL)
    ended = cluster.end(job, timeout=30)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "1:0", "0")
    assert "rank 1 of 2 on " in Path(ended["StdOut"]).read_text()
    now, right = values(out), values(undisturbed)
    kept = now["status"] != PENDING
    assert before <= np.count_nonzero(kept) < POINTS
    assert now["train_loss"][kept].tobytes() == right["train_loss"][kept].tobytes()


def pid_of_task(job: str, task: int) -> int:
    """Return the process that srun has started as a task of a job, by the environment SLURM gave it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                given = {*(entry / "environ").read_text(errors="replace").split("\0")}
                if {f"SLURM_JOB_ID={job}", f"SLURM_PROCID={task}", "SLURM_STEP_ID=0"} <= given:
                    return int(entry.name)
    raise AssertionError(f"job {job} has no task {task}")


@pytest.mark.parametrize(
    ("code", "before", "after", "restarts"),
    # 0: the launcher forgot it was 75
    [(75, 5, 5, 0), (75, 5, 6, 1), further(138, 5, 6, 1), (1, 5, 6, 0), further(0, 5, 6, 1)],
)
def test_a_job_without_a_new_point_does_not_go_into_the_queue_again(
    cluster: Cluster, tmp_path: Path, code: int, before: int, after: int, restarts: int
) -> None:
    """With a lossgrid that never comes to the end, and in its first run has a point more or has not."""
    (tmp_path / "bin").mkdir()
    pretends = tmp_path / "bin" / "lossgrid"
    pretends.write_text(
        "#!/bin/bash\n"
        f'if [ "$1" = run ]; then echo {after} > points; exit {code}; fi\n'
        f'printf \'{{\\n  "points": 120,\\n  "done": %s,\\n  "pending": 1,\\n  "failed": 0\\n}}\\n\' "$(cat points)"\n'
    )
    pretends.chmod(0o755)
    (tmp_path / "points").write_text(f"{before}\n")
    site = tmp_path / "site.env"
    site.write_text(f"export PATH={shlex.quote(str(tmp_path / 'bin'))}:$PATH\n")
    copy = change(
        JOBS / "surface.sbatch", tmp_path / "job.sbatch", sbatch={**WITH_GPU, "nodes": "1"}, site=shlex.quote(str(site))
    )
    job = cluster.submit(copy)
    ended = cluster.end(job)
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", f"{code or 75}:0", str(restarts))
    assert Path(ended["StdOut"]).read_text().count("does not go into the queue again") == (code != 1)


def test_bad_input_ends_a_job_with_its_reason(cluster: Cluster, tmp_path: Path) -> None:
    copy = change(
        JOBS / "surface_cpu.sbatch", tmp_path / "job.sbatch", sbatch=SMALL, options=array(["--model", "resnet21"])
    )
    ended = cluster.end(cluster.submit(copy))
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("FAILED", "2:0", "0")
    assert Path(ended["StdOut"]).read_text().count("lossgrid: error: ") == 1
    assert not (tmp_path / "surface.h5").exists()


@pytest.mark.parametrize("listed", [True, False])
def test_an_array_of_surfaces(cluster: Cluster, tmp_path: Path, listed: bool) -> None:
    """Of two checkpoints, or along the directions of two seeds; one element is stopped, and it alone starts again."""
    losses = {}
    for element in (1, 2):
        torch.manual_seed(element)
        network = users.net(1, 10).eval()
        torch.save(network.state_dict(), tmp_path / f"{element}.pt")
        losses[element] = loss_of(network)
    (tmp_path / "list.txt").write_text("1.pt\n2.pt\n")
    changed: Mapping[str, str] = {"list": "list.txt" if listed else "", "out": ""}
    options = (*RUN[:-4], "--alpha", "-1:1:21", *(() if listed else ("--checkpoint", "1.pt")))
    sbatch = {**WITH_GPU, "nodes": "1", "array": "1-2"}
    copy = change(JOBS / "array.sbatch", tmp_path / "array.sbatch", sbatch=sbatch, options=array(options), **changed)
    job = cluster.submit(copy, env=pace(0.3 if listed else 0.02))
    outs = {element: tmp_path / f"{'' if listed else 'seed-'}{element}.h5" for element in (1, 2)}
    if listed:
        # The element whose own number is that of the whole array; numbers are given when elements start.
        started = {n: cluster.wait(f"{job}_{n}", lambda now: now["JobState"] == "RUNNING") for n in outs}
        stopped = next(n for n in outs if started[n]["JobId"] == job)
        cluster.wait(f"{job}_{stopped}", lambda now: has_ended(now) or done_points(outs[stopped]) >= 3)
        cluster.run("scancel", "--batch", "--signal=USR1", f"{job}_{stopped}")
    for element, path in outs.items():
        ended = cluster.end(f"{job}_{element}")
        assert (ended["JobState"], ended["ExitCode"]) == ("COMPLETED", "0:0"), Path(ended["StdOut"]).read_text()
        assert int(ended["Restarts"]) == (listed and element == stopped)
        surface = store.read(path)
        assert surface.complete
        assert surface["train_loss"][10] == pytest.approx(losses[element if listed else 1], rel=1e-5)
        assert surface.config["seed"] == (0 if listed else element)
    first, second = (store.read(path)["train_loss"] for path in outs.values())
    assert np.abs(first - second).max() > 1e-3


def loss_of(network: torch.nn.Module) -> float:
    inputs, targets = users.pictures("train")
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(network(inputs), targets))


def chain(cluster: Cluster, folder: Path, **variables: str) -> list[str]:
    """Submit a chain of three jobs and return their numbers."""
    resources = array(["--ntasks=1", "--cpus-per-task=1", "--time=5"])
    copy = change(
        JOBS / "chain.sh", folder / "chain.sh", train_resources=resources, draw_resources=resources, **variables
    )
    told = cluster.run("bash", copy.name, cwd=folder, env={**pace(0), "MPLBACKEND": "agg"}).split()
    assert told[::2] == ["train", "surface", "draw"]
    return [number.rstrip(",") for number in told[1::2]]


def test_a_chain_trains_computes_and_draws(cluster: Cluster, tmp_path: Path) -> None:
    options = array(["--model", "mlp", "--data", "digits", "--alpha", "-1:1:5"])
    surface = change(
        JOBS / "surface.sbatch", tmp_path / "surface.sbatch", sbatch=WITH_GPU, options=options,
        checkpoint="net/epoch_0001.pt", out="${checkpoint%/*}.h5",
    )  # fmt: skip
    train = "lossgrid train --model mlp --data digits --epochs 1 --out net"
    site = tmp_path / "of the site.env"
    site.write_text("export SITE=here\n")
    train = shlex.quote(f"[ $SITE = here ]\n{train}")
    jobs = chain(
        cluster, tmp_path, train=train, surface=surface.name, draw='"lossgrid plot net.h5"', site=shlex.quote(str(site))
    )
    ended = [cluster.end(job) for job in jobs]
    logs = [Path(job["StdOut"]).read_text() for job in ended]
    assert [job["JobState"] for job in ended] == ["COMPLETED"] * 3, logs
    assert [job["JobName"] for job in ended] == ["train", "surface", "draw"]
    for earlier, later in pairwise(ended):
        assert earlier["EndTime"] <= later["StartTime"]
    assert "net is complete: 1 epochs" in logs[0]
    assert store.read(tmp_path / "net.h5").complete
    assert (tmp_path / "net_line.png").read_bytes().startswith(b"\x89PNG")


def test_a_chain_ends_where_a_job_fails(cluster: Cluster, tmp_path: Path) -> None:
    surface = change(JOBS / "surface.sbatch", tmp_path / "surface.sbatch", sbatch=WITH_GPU)
    jobs = chain(cluster, tmp_path, train='"false; echo went on"', surface=surface.name)
    ended = [cluster.end(job) for job in jobs]
    assert [job["JobState"] for job in ended] == ["FAILED", "CANCELLED", "CANCELLED"]
    assert "went on" not in Path(ended[0]["StdOut"]).read_text()
    assert not (tmp_path / "surface.h5").exists()


def test_a_time_limit_that_is_too_short_costs_nothing(
    cluster: Cluster, limited: tuple[str, Path], undisturbed: Path
) -> None:
    job, out = limited
    assert_complete(cluster, job, out, undisturbed)
    told = cluster.job(job)
    assert told["TimeLimit"] == "00:01:00"
    assert int(told["Restarts"]) >= 1
    assert Path(told["StdOut"]).read_text().count("stopped by SIGUSR1") >= 1
    assert store.read(out).provenance["ranks"] == 2

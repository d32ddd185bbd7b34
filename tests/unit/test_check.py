"""What ``lossgrid check`` finds wrong, from facts made up: no GPU, no second node, no SLURM is needed for it."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossgrid import store
from lossgrid.check import folder as rules_of_folders
from lossgrid.check import report, trial
from lossgrid.check.devices import about_devices
from lossgrid.check.rank_facts import RankFacts
from lossgrid.check.report import finding_lines, folder_lines, library_lines, rank_lines, trial_lines, verdict
from lossgrid.check.software import about_software
from lossgrid.check.trial import Trial
from lossgrid.machine import disks
from lossgrid.machine.disks import TAKEN, FileSystem, lock_tried
from lossgrid.machine.finding import Finding, error, warning
from lossgrid.machine.gpus import nvidia_devices
from lossgrid.machine.launcher import Launch, detect
from lossgrid.machine.libraries import loaded_libraries
from lossgrid.parallel import alone
from lossgrid.run.nodes import find_unseen
from lossgrid.surface import Results

VERSIONS = {
    "lossgrid": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "h5py": "3.16.0", "mpi4py": "4.1.2", "Python": "3.11.7",
    "MPI": "Open MPI v4.1.4", "HDF5": "1.10.8",
}  # fmt: skip
OPEN_MPI, MPICH = "/usr/lib/libmpi.so.40.30.4", "/opt/mpich/lib/libmpi.so.12.2.1"
DISK = FileSystem("lustre", "server:/scratch", 10**12)


def a_rank(rank: int, *, per_node: int = 4, **changes: object) -> RankFacts:
    """Return one of several ranks per node, each with a core of its own and nothing wrong."""
    local = rank % per_node
    fields: dict[str, object] = {
        "rank": rank, "host": f"n{rank // per_node + 1}", "local_rank": local, "device": "cpu", "uuid": "", "gpus": 0,
        "openable_gpus": 0, "processor": "EPYC", "threads": 1, "cores": frozenset([local]),
        "cpus": changes.get("cores", frozenset([local])), "offered": frozenset(range(per_node)), "quota": None,
        "mpi_libraries": (OPEN_MPI,), "parallel_hdf5": True, "versions": VERSIONS, "variables": {},
    }  # fmt: skip
    return RankFacts(**(fields | changes))  # type: ignore[arg-type]


def ranks(count: int = 4, *, per_node: int = 4, **changes: object) -> list[RankFacts]:
    return [a_rank(rank, per_node=per_node, **changes) for rank in range(count)]


def gpu(number: int, visible: int = 4) -> dict[str, object]:
    return {"device": "NVIDIA H100", "uuid": f"GPU-{number}", "gpus": visible, "openable_gpus": visible}


def about_ranks(those: list[RankFacts], *, launched: bool) -> list[Finding]:
    return [*about_software(those, launched=launched), *about_devices(those)]


def about_folder(*arguments: Any, **options: Any) -> list[Finding]:
    return list(rules_of_folders.about_folder(*arguments, **options))


def about_trials(trials: list[Trial]) -> list[Finding]:
    return list(rules_of_folders.about_trials(trials))


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [finding.seen for finding in findings]
    return findings[0]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert about_ranks(ranks(8), launched=True) == []
    assert about_ranks([a_rank(rank, **gpu(rank)) for rank in range(4)], launched=True) == []
    assert about_folder(DISK, {"flock": None, "fcntl": None}, [], ranks(), parallel=True) == []
    assert about_trials([Trial("parallel", point_seconds=1e-3, bandwidth=1e9), Trial("root", skipped="so")]) == []


def test_two_mpi_libraries_in_one_process_are_an_error() -> None:
    found = only(about_ranks(ranks(mpi_libraries=(OPEN_MPI, MPICH)), launched=True))
    assert found.is_error
    assert OPEN_MPI in found.seen
    assert MPICH in found.seen
    assert "ranks 0-3 on n1" in found.seen
    assert "MPI4PY_LIBMPI" in found.remedy


@pytest.mark.parametrize("name", ["lossgrid", "torch", "h5py", "MPI"])
def test_different_versions_are_an_error_that_names_the_ranks(name: str) -> None:
    others = ranks(8)
    others[5:] = [replace(one, versions=VERSIONS | {name: "0.0.9"}) for one in others[5:]]
    found = only(about_ranks(others, launched=True))
    assert found.is_error
    assert f"{name} is {VERSIONS[name]} in ranks 0-4 and 0.0.9 in ranks 5-7" in found.seen


def test_h5py_with_mpi_on_some_ranks_only_is_an_error() -> None:
    mixed = [replace(one, parallel_hdf5=one.rank > 0) for one in ranks()]
    found = only(about_ranks(mixed, launched=True))
    assert found.is_error
    assert "in ranks 1-3, and none in rank 0" in found.seen


def test_serial_h5py_matters_to_several_ranks_only() -> None:
    found = only(about_ranks(ranks(parallel_hdf5=False), launched=True))
    assert not found.is_error
    assert "rank 0 writes for all" in found.seen
    assert about_ranks([a_rank(0, per_node=1, parallel_hdf5=False)], launched=False) == []


def test_ranks_that_share_a_gpu_are_named() -> None:
    shared = [a_rank(rank, per_node=8, **gpu(rank % 4)) for rank in range(8)]
    found = only(about_ranks(shared, launched=True))
    assert not found.is_error
    assert "8 ranks of a node share 4 GPUs: ranks 0-7 on n1 (GPU-0, GPU-1, GPU-2, GPU-3)" in found.seen


def test_every_rank_on_the_first_gpu_is_two_findings() -> None:
    both = about_ranks([a_rank(rank, **gpu(0)) for rank in range(4)], launched=True)
    assert [finding.seen.partition(":")[0] for finding in both] == [
        "4 ranks of a node share 1 GPU",
        "1 of the 4 GPUs of a node is used, by ranks 0-3 on n1",
    ]


def test_one_visible_gpu_per_rank_leaves_none_idle() -> None:
    assert about_ranks([a_rank(rank, **gpu(rank, visible=1)) for rank in range(4)], launched=True) == []


def test_a_gpu_that_pytorch_cannot_use_is_told() -> None:
    found = only(about_ranks(ranks(openable_gpus=2), launched=True))
    assert "compute on the CPU beside NVIDIA GPUs (2 on a node), which PyTorch 2.13.0 cannot use" in found.seen


def test_ranks_on_different_devices_are_told_apart() -> None:
    mixed = [*ranks(4), *(a_rank(rank, processor="Xeon") for rank in range(4, 8))]
    found = only(about_ranks(mixed, launched=True))
    assert "cpu, EPYC (ranks 0-3 on n1); cpu, Xeon (ranks 4-7 on n2)" in found.seen
    lost = [a_rank(rank, **gpu(rank)) for rank in range(3)] + [a_rank(3)]
    assert any("cpu, EPYC (rank 3 on n1)" in finding.seen for finding in about_ranks(lost, launched=True))


def test_more_threads_than_cores_blame_the_variable_that_asks_for_them() -> None:
    crowded = ranks(threads=8, cores=frozenset(range(4)), variables={"OMP_NUM_THREADS": "8"})
    found = only(about_ranks(crowded, launched=True))
    assert found.seen.startswith("32 threads share 4 cores: ranks 0-3 on n1")
    assert "OMP_NUM_THREADS=8" in found.remedy


def test_ranks_tied_to_one_core_are_found_among_free_cores() -> None:
    bound = ranks(8)
    bound[1] = replace(bound[1], cores=bound[0].cores, cpus=bound[0].cpus)
    bound[5] = replace(bound[5], cores=bound[4].cores, cpus=bound[4].cpus)
    found = only(about_ranks(bound, launched=True))
    assert found.seen.startswith("2 threads share 1 core: ranks 0-1,4-5 on n1, n2")
    assert "--bind-to none" in found.remedy


def test_ranks_that_share_cores_without_a_core_each_are_found() -> None:
    pairs = [frozenset(pair) for pair in ((0, 1), (1, 2), (0, 2))]
    triangle = [a_rank(rank, threads=2, cores=cores, offered=frozenset(range(3))) for rank, cores in enumerate(pairs)]
    assert only(about_ranks(triangle, launched=True)).seen.startswith("6 threads share 3 cores: ranks 0-2 on n1")


def test_the_quota_of_a_container_counts() -> None:
    found = only(about_ranks(ranks(quota=2.0), launched=True))
    assert "have 4 threads on a node" in found.seen
    assert "the time of 2 cores" in found.seen
    assert about_ranks(ranks(quota=3.5), launched=True) == []


def test_other_thread_variables_that_exceed_the_cores_are_named() -> None:
    found = only(about_ranks(ranks(variables={"MKL_NUM_THREADS": "64", "OPENBLAS_NUM_THREADS": "1"}), launched=True))
    assert found.seen.startswith("MKL_NUM_THREADS=64 is more than the 1 core of ranks 0-3 on n1")
    assert about_ranks(ranks(variables={"MKL_NUM_THREADS": "no number"}), launched=True) == []


def test_fewer_cores_than_slurm_was_asked_for_are_told() -> None:
    slurm = {"SLURM_CPUS_PER_TASK": "8", "SLURM_CPUS_ON_NODE": "32"}
    found = only(about_ranks(ranks(variables=slurm), launched=True))
    assert "8 cores per task, and ranks 0-3 on n1 may use 1 core" in found.seen
    assert "SRUN_CPUS_PER_TASK" in found.remedy


def test_idle_cores_are_told_with_their_cause() -> None:
    whole = {"offered": frozenset(range(64)), "per_node": 2}
    found = only(about_ranks(ranks(2, **whole), launched=True))  # type: ignore[arg-type]
    assert "ranks 0-1 on n1 compute with 2 cores of 64 on a node" in found.seen
    assert "--bind-to none" in found.remedy
    held = ranks(2, cores=frozenset(range(64)), variables={"OMP_NUM_THREADS": "1"}, **whole)  # type: ignore[arg-type]
    assert "unset OMP_NUM_THREADS=1" in only(about_ranks(held, launched=True)).remedy
    granted = ranks(2, variables={"SLURM_CPUS_ON_NODE": "4"}, **whole)  # type: ignore[arg-type]
    assert about_ranks(granted, launched=True) == []


def test_one_process_in_a_job_of_many_tasks_is_told() -> None:
    single = [a_rank(0, per_node=1, variables={"SLURM_NTASKS": "8"})]
    found = only(about_ranks(single, launched=False))
    assert "SLURM has given the job 8 tasks" in found.seen
    assert about_ranks(single, launched=True) == []


def test_forced_file_locks_are_told() -> None:
    found = only(about_ranks(ranks(variables={"HDF5_USE_FILE_LOCKING": "true"}), launched=True))
    assert "HDF5_USE_FILE_LOCKING=true" in found.seen
    assert about_ranks(ranks(variables={"HDF5_USE_FILE_LOCKING": "FALSE"}), launched=True) == []


def test_a_folder_that_other_nodes_do_not_see_is_an_error() -> None:
    found = only(about_folder(replace(DISK, kind="ext4"), {}, [4, 5, 6, 7], ranks(8), parallel=False))
    assert found.is_error
    assert "ranks 4-7 on n2 do not see" in found.seen
    assert "ext4" in found.seen


def test_a_network_file_system_is_doubtful_for_several_writers_only() -> None:
    nfs = FileSystem("nfs4", "server:/home", 10**12)
    found = only(about_folder(nfs, {"flock": None, "fcntl": None}, [], ranks(), parallel=True))
    assert not found.is_error
    assert "nfs4 (server:/home)" in found.seen
    assert "--writer root" in found.remedy
    assert about_folder(nfs, {"flock": None, "fcntl": None}, [], ranks(), parallel=False) == []


def test_missing_locks_are_told_for_what_they_are_needed() -> None:
    locks = {"flock": "does not keep out rank 4", "fcntl": "cannot be taken (No locks available)"}
    both = about_folder(DISK, locks, [], ranks(), parallel=True)
    assert [finding.seen.partition(" in the folder")[0] for finding in both] == [
        "flock does not keep out rank 4",
        "fcntl cannot be taken (No locks available)",
    ]
    assert "flock" in only(about_folder(DISK, locks, [], ranks(), parallel=False)).seen


def test_memory_and_a_full_disk_are_told() -> None:
    both = about_folder(FileSystem("tmpfs", "tmpfs", 3_000_000), {}, [], ranks(), parallel=True)
    assert "in memory" in both[0].seen
    assert "3 MB left" in both[1].seen


def test_slow_writing_is_told_with_its_numbers() -> None:
    slow = only(about_trials([Trial("parallel", point_seconds=0.25, bandwidth=1e9), Trial("root", bandwidth=5e7)]))
    assert "the writer parallel is slow in the folder (a point takes 250 ms)" in slow.seen
    assert "--writer root" in slow.remedy
    assert "1.5 MB/s" in only(about_trials([Trial("root", point_seconds=1e-3, bandwidth=1.5e6)])).seen


def test_few_ranks_have_a_row_each() -> None:
    lines = rank_lines([a_rank(rank, **gpu(rank)) for rank in range(4)])
    assert lines[0].split() == ["rank", "host", "local", "rank", "device", "UUID", "threads", "cores"]
    assert lines[3].split() == ["2", "n1", "2", "NVIDIA", "H100", "GPU-2", "1", "1:", "2"]
    assert "UUID" not in rank_lines(ranks())[0]


def test_thousands_of_ranks_are_grouped_by_alike_hosts() -> None:
    many = ranks(4000)
    many[3999] = replace(many[3999], threads=2)
    lines = rank_lines(many)
    assert len(lines) == 3
    assert re.match(r"0-3995 +999 hosts \(n1 ... n999\) +4 +4 x cpu, EPYC +1 +1$", lines[1])
    assert re.match(r"3996-3999 +n1000 +4 +4 x cpu, EPYC +1-2 +1$", lines[2])
    assert max(map(len, lines)) <= report.WIDTH


def test_hosts_that_are_all_different_do_not_flood_the_table() -> None:
    different = [a_rank(rank, per_node=1, threads=rank + 1) for rank in range(200)]
    lines = rank_lines(different)
    assert len(lines) == 1 + report.ROWS + 1
    assert "and 136 more kinds of host" in lines[-1]


def test_findings_about_thousands_of_ranks_stay_short() -> None:
    odd = [replace(one, mpi_libraries=(OPEN_MPI, MPICH)) if one.rank % 2 else one for one in ranks(4000)]
    found = only(about_ranks(odd, launched=True))
    assert "ranks 1,3,5," in found.seen
    assert ",..." in found.seen
    lines = finding_lines(found)
    assert len(lines) <= 6
    assert max(map(len, lines)) <= report.WIDTH


def test_libraries_are_told_with_their_versions_and_files() -> None:
    text = "\n".join(library_lines(ranks(), Launch("SLURM", 0, 4)))
    assert f"mpi4py    4.1.2, Open MPI v4.1.4, {OPEN_MPI}" in text
    assert "h5py      3.16.0, HDF5 1.10.8, parallel" in text
    assert "ranks     4 on 1 host, started by SLURM" in text


def test_writers_and_folder_are_told_with_numbers() -> None:
    assert folder_lines(Path("/scratch"), DISK, {"flock": None, "fcntl": "cannot be taken (so)"}) == [
        "folder    /scratch: lustre (server:/scratch), 1.0 TB free",
        "locks     flock works, fcntl cannot be taken (so)",
    ]
    works = trial_lines(Trial("parallel", point_seconds=4.2e-5, bandwidth=8e8))
    assert works == ["writer parallel (every rank writes the file itself): works, 800 MB/s, a point in 0.042 ms"]
    assert "FAILED: no space" in trial_lines(Trial("root", problem="no space"))[0]
    assert "not tried, so" in trial_lines(Trial("parallel", skipped="so"))[0]


def test_the_verdict_counts() -> None:
    wrong, doubt = error("a", "b"), warning("a", "b")
    assert verdict([], [Trial("root")]) == "fit for runs; nothing wrong that can be seen from here"
    assert verdict([doubt, doubt], []) == "fit for runs, with 2 warnings"
    assert verdict([wrong, doubt], [Trial("root", problem="x")]) == "2 errors and 1 warning: not fit for runs"


MOUNTS = """\
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:50 / /home rw - nfs4 server:/export/home rw,vers=4.2
41 27 0:51 / /home/my\\040scratch rw - lustre 10.0.0.1@o2ib:/fs rw,flock
42 27 0:52 / /tmp rw - ext4 /dev/vdb rw
43 27 0:53 / /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("folder", "kind", "source"),
    [
        ("/var/x", "ext4", "/dev/vda"),
        ("/home/a", "nfs4", "server:/export/home"),
        ("/homes", "ext4", "/dev/vda"),
        ("/home/my scratch/a", "lustre", "10.0.0.1@o2ib:/fs"),
        ("/tmp", "tmpfs", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder_is_its_deepest_and_last_mount(
    tmp_path: Path, folder: str, kind: str, source: str
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert disks._mount_of(Path(folder), tmp_path / "mountinfo") == (kind, source)
    assert disks._mount_of(Path(folder), tmp_path / "absent") == ("unknown", "unknown")


def test_a_lock_is_held_against_others_while_the_block_runs(tmp_path: Path) -> None:
    with lock_tried(tmp_path / "a", "flock") as first, lock_tried(tmp_path / "a", "flock") as second:
        assert (first, second) == (None, TAKEN)
    with lock_tried(tmp_path / "a", "flock") as third:
        assert third is None
    with lock_tried(tmp_path / "absent" / "a", "fcntl") as fourth:
        assert fourth == "No such file or directory"


def test_a_byte_range_lock_is_held_against_other_processes(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from lossgrid.machine.disks import lock_tried\n"
        "with lock_tried(pathlib.Path(sys.argv[1]), 'fcntl') as outcome: print(outcome)"
    )

    def other() -> str:
        return subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, check=True
        ).stdout.strip()

    with lock_tried(tmp_path / "a", "fcntl") as mine:
        assert mine is None
        assert other() == TAKEN
    assert other() == "None"


def test_blocks_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "blocks.h5"
    columns = store.probe.PIECE + 3
    store.make_blocks(path, 2, columns)
    assert store.write_blocks(path, 1) > 0
    with store.probe.h5py.File(path, "r") as file:
        row = file["blocks"][1]
    assert row.shape == (columns,)
    assert ((row > 0) & (row < 1)).all()
    assert row[0] == row[store.probe.PIECE]


def test_ranks_that_do_not_see_the_folder_are_found(tmp_path: Path) -> None:
    assert find_unseen(alone(), tmp_path) == []
    assert find_unseen(alone(), tmp_path / "absent") == [0]


def test_locks_are_tried(tmp_path: Path) -> None:
    assert trial.try_locks(alone(), tmp_path) == {"flock": None, "fcntl": None}
    with lock_tried(tmp_path / "flock", "flock"):
        assert trial.try_locks(alone(), tmp_path) == {"flock": "cannot be taken (taken)", "fcntl": None}


def test_writing_is_tried_and_measured(tmp_path: Path) -> None:
    tried = trial.try_writing(alone(), tmp_path, "root")
    assert (tried.skipped, tried.problem) == (None, None)
    assert tried.point_seconds > 0
    assert tried.bandwidth is not None
    assert tried.bandwidth > 0
    assert [path.name for path in tmp_path.iterdir()] == ["root.h5"]


def test_what_little_space_there_is_is_not_used_to_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SHARE_OF_FREE", 10**12)
    tried = trial.try_writing(alone(), tmp_path, "root")
    assert (tried.problem, tried.bandwidth) == (None, None)
    assert "works, too full to measure, a point in " in trial_lines(tried)[0]


def test_values_that_come_back_changed_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = store.SurfaceFile.write

    def wrong(file: store.SurfaceFile, results: Results, *, rank: int) -> None:
        write(file, replace(results, values=results.values + (results.work.start == 5)), rank=rank)

    monkeypatch.setattr(store.SurfaceFile, "write", wrong)
    problem = trial.try_writing(alone(), tmp_path, "root").problem
    assert problem is not None
    assert "wrote 5 to point 5 of train_loss, read 6; 1 of 8 points are wrong" in problem


def test_points_that_were_never_written_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.SurfaceFile, "write", lambda *_, **__: None)
    problem = trial.try_writing(alone(), tmp_path, "root").problem
    assert problem is not None
    assert "8 of 8 points are wrong" in problem


MAPS = """\
7f00-7f01 r-xp 00000000 fe:00 1  /usr/lib/x86_64-linux-gnu/libc.so.6
7f10-7f11 r-xp 00000000 fe:00 2  /opt/ompi/lib/libmpi.so.40.30.4
7f12-7f13 r--p 00001000 fe:00 2  /opt/ompi/lib/libmpi.so.40.30.4
7f14-7f15 r-xp 00000000 fe:00 3  /opt/ompi/lib/libmpi_cxx.so.40
7f16-7f17 r-xp 00000000 fe:00 4  /opt/ompi/lib/libmpi_usempif08.so.40
7f18-7f19 r-xp 00000000 fe:00 5  /opt/cray/lib/libmpi_gtl_cuda.so.0
7f20-7f21 rw-p 00000000 00:00 0
"""


@pytest.mark.parametrize(
    "other", ["libmpi.so.12.2.1", "libmpich.so.12", "libmpi_cray.so.12", "libmpi_gnu_91.so.12", "libmpi_abi.so.0"]
)
def test_loaded_mpi_libraries_are_found_among_what_comes_with_them(tmp_path: Path, other: str) -> None:
    maps = tmp_path / "maps"
    maps.write_text(MAPS)
    assert loaded_libraries(maps) == ("/opt/ompi/lib/libmpi.so.40.30.4",)
    maps.write_text(f"{MAPS}7f22-7f23 r-xp 00000000 fe:00 6  /opt/other lib/{other}\n")
    assert loaded_libraries(maps) == ("/opt/ompi/lib/libmpi.so.40.30.4", f"/opt/other lib/{other}")
    assert loaded_libraries(tmp_path / "absent") == ()


def test_gpus_hidden_on_purpose_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert nvidia_devices(tmp_path) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert nvidia_devices(tmp_path) == 0


def test_srun_with_pmix_tells_the_number_of_ranks() -> None:
    step = {"PMIX_RANK": "3", "PMIX_NAMESPACE": "slurm.pmix.7.0", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "4"}
    assert detect(step) == Launch("SLURM", 3, 4)
    assert detect(step | {"PMIX_NAMESPACE": "prterun-n1-7@1"}) == Launch("PRRTE", 3, None)

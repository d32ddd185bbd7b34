"""Facts about a computer, read from computers made up in a folder: control groups, cores, memory, garbage."""

import math
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lossgrid.machine.cores import core_quota, cores_of, cpus_in, offered_cpus, own_cpus, processor
from lossgrid.machine.groups import own_groups
from lossgrid.machine.kernel import amount, fields_of, text_of
from lossgrid.machine.memory import memory_left
from lossgrid.machine.mounts import Mount, read_mounts
from lossgrid.machine.network import own_addresses

Computer = Callable[[Mapping[str, str]], Path]

VERSION_2 = {
    "proc/self/mountinfo": "30 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
    "proc/self/cgroup": "0::/job/step\n",
}
VERSION_1 = {
    "proc/self/mountinfo": (
        "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "33 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "34 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    ),
    "proc/self/cgroup": "5:memory:/slurm/job_7\n4:cpu,cpuacct:/slurm/job_7/step_0\n1:name=systemd:/x\n0::/unified\n",
}
NOTHING_AT_ALL: dict[str, str] = {}
GARBAGE = [
    "",
    "\n",
    "max",
    "-1",
    "nan",
    "inf",
    "1e400",
    "0",
    "\0\0",
    "x y z",
    "9" * 5000,
    "12 0",
    "::::",
    " - ",
    "5 6 7",
]


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    """Return a function that makes the files of a computer and returns its ``/``."""

    def made(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return made


def with_threads(cores: int, threads: int) -> dict[str, str]:
    """Return the files of a computer that counts its hyperthreads after its cores, as Intel's do."""
    beside = {cpu: ",".join(str(cpu % cores + cores * i) for i in range(threads)) for cpu in range(cores * threads)}
    return {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{t}\n" for cpu, t in beside.items()}


def test_the_groups_of_a_process_are_its_own_and_those_above(computer: Computer) -> None:
    root = computer(VERSION_2)
    names = [str(group.relative_to(root)) for group in own_groups("memory", root)]
    assert names == ["sys/fs/cgroup/job/step", "sys/fs/cgroup/job", "sys/fs/cgroup"]


def test_each_controller_of_version_1_has_groups_of_its_own(computer: Computer) -> None:
    root = computer(VERSION_1)
    names = [str(group.relative_to(root / "sys/fs/cgroup")) for group in own_groups("cpu", root)]
    assert names[:4] == [
        "cpu,cpuacct/slurm/job_7/step_0",
        "cpu,cpuacct/slurm/job_7",
        "cpu,cpuacct/slurm",
        "cpu,cpuacct",
    ]
    assert names[4:] == ["unified/unified", "unified"]
    assert str(own_groups("memory", root)[0].relative_to(root)) == "sys/fs/cgroup/memory/slurm/job_7"


@pytest.mark.parametrize("named", ["/docker/abc", "/elsewhere", "/../../other", "/docker/abc/.."])
def test_a_container_sees_its_own_group_where_the_controller_is_mounted(computer: Computer, named: str) -> None:
    mounted = "33 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    root = computer({"proc/self/mountinfo": mounted, "proc/self/cgroup": f"5:memory:{named}\n"})
    assert own_groups("memory", root) == [root / "sys/fs/cgroup/memory"]


def test_the_quota_is_the_least_of_the_own_group_and_those_above(computer: Computer) -> None:
    group = "sys/fs/cgroup/job"
    root = computer(VERSION_2)
    assert core_quota(root) is None
    computer({f"{group}/step/cpu.max": "max 100000\n"})
    assert core_quota(root) is None
    computer({f"{group}/cpu.max": "250000 100000\n"})
    assert core_quota(root) == 2.5
    computer({f"{group}/step/cpu.max": "400000 100000\n"})
    assert core_quota(root) == 2.5
    computer({"sys/fs/cgroup/cpu.max": "50000 100000\n"})
    assert core_quota(root) == 0.5


def test_the_quota_of_version_1_is_read_too(computer: Computer) -> None:
    group = "sys/fs/cgroup/cpu,cpuacct/slurm"
    root = computer(VERSION_1 | {f"{group}/job_7/cpu.cfs_quota_us": "-1\n", f"{group}/cpu.cfs_quota_us": "300000\n"})
    assert core_quota(root) is None
    computer({f"{group}/job_7/cpu.cfs_period_us": "100000\n", f"{group}/cpu.cfs_period_us": "200000\n"})
    assert core_quota(root) == 1.5


def test_hyperthreads_are_one_core(computer: Computer) -> None:
    root = computer(with_threads(cores=8, threads=2))
    assert cores_of(range(16), root) == frozenset(range(8))
    assert cores_of([3, 11], root) == {3}
    assert cores_of([11], root) == {3}
    assert cores_of([3, 12], root) == {3, 4}


def test_without_hyperthreads_each_cpu_is_a_core(computer: Computer) -> None:
    assert cores_of(range(4), computer(with_threads(cores=4, threads=1))) == frozenset(range(4))


@pytest.mark.parametrize("text", ["", "x", "7-8", "0-", "-", "5-1", "1,,2", "0x1", "²", "0-99999999999", "\0"])
def test_a_cpu_whose_threads_are_not_told_is_a_core_of_its_own(computer: Computer, text: str) -> None:
    root = computer({"sys/devices/system/cpu/cpu1/topology/thread_siblings_list": text})
    assert cores_of([0, 1], root) == {0, 1}


def test_lists_of_cpus_are_read_as_the_kernel_writes_them() -> None:
    assert cpus_in("0-2,8,10-11\n") == {0, 1, 2, 8, 10, 11}
    assert cpus_in("0") == {0}
    assert cpus_in("\n") == frozenset()


def test_this_computer_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= len(cores_of(own_cpus())) <= len(own_cpus())
    monkeypatch.setattr("os.getppid", lambda: 2**30)  # no such process
    assert offered_cpus() == own_cpus()


def test_the_memory_left_is_what_the_computer_has_or_a_group_may_take(computer: Computer) -> None:
    root = computer(VERSION_2 | {"proc/meminfo": "MemTotal: 900 kB\nMemAvailable:    800 kB\n"})
    assert memory_left(root) == 800 * 1024
    group = "sys/fs/cgroup/job"
    computer({f"{group}/memory.max": "500000\n", f"{group}/memory.current": "200000\n"})
    computer({f"{group}/step/memory.max": "max\n", f"{group}/step/memory.current": "200000\n"})
    assert memory_left(root) == 300000


def test_files_the_kernel_holds_in_memory_do_not_count_against_the_limit(computer: Computer) -> None:
    group = "sys/fs/cgroup/job"
    own = {f"{group}/memory.max": "500000", f"{group}/memory.current": "400000"}
    root = computer(VERSION_2 | own | {f"{group}/memory.stat": "anon 1\ninactive_file 150000\n"})
    assert memory_left(root) == 250000


def test_the_memory_limit_of_version_1_is_read_too(computer: Computer) -> None:
    group = "sys/fs/cgroup/memory/slurm"
    root = computer(VERSION_1 | {f"{group}/memory.limit_in_bytes": "9000", f"{group}/memory.usage_in_bytes": "1000"})
    assert memory_left(root) == 8000
    computer({f"{group}/job_7/memory.limit_in_bytes": "9223372036854771712"})  # no limit
    computer({f"{group}/job_7/memory.usage_in_bytes": "1000"})
    assert memory_left(root) == 8000
    computer({f"{group}/job_7/memory.limit_in_bytes": "500"})  # less than what is used: it was made smaller
    assert memory_left(root) == 0


def test_a_computer_that_tells_nothing_has_no_limits(computer: Computer) -> None:
    root = computer(NOTHING_AT_ALL)
    assert (own_groups("cpu", root), core_quota(root), memory_left(root)) == ([], None, math.inf)
    assert processor(root) != ""
    assert isinstance(own_addresses("no-such-host.invalid", root), tuple)


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("version", [VERSION_1, VERSION_2])
def test_garbage_is_no_limit_and_no_failure(computer: Computer, version: Mapping[str, str], garbage: str) -> None:
    top = "sys/fs/cgroup"
    limits = ["cpu.max", "memory.max", "memory.current", "memory.stat", "cpu.cfs_quota_us", "cpu.cfs_period_us"]
    limits += ["memory.limit_in_bytes", "memory.usage_in_bytes"]
    groups = [f"{top}/job", f"{top}/cpu,cpuacct", f"{top}/memory"]
    wrong = {f"{group}/{name}": garbage for group in groups for name in limits}
    root = computer(
        {**version, **wrong, "proc/meminfo": f"MemAvailable: {garbage}\n{garbage}", "proc/cpuinfo": garbage}
    )
    assert core_quota(root) is None
    assert memory_left(root) in (0.0, math.inf, 12 * 1024)  # "0" and "12 0" tell an amount
    assert processor(root) != ""
    computer({"proc/self/cgroup": garbage, "proc/self/mountinfo": garbage, "proc/net/if_inet6": garbage})
    assert own_groups("memory", root) == []
    assert isinstance(own_addresses(socket.gethostname(), root), tuple)


def test_files_that_are_folders_or_no_text_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"a \xff\xfe\n")
    assert text_of(tmp_path) == ""
    assert text_of(tmp_path / "a\0b") == ""
    assert fields_of(tmp_path / "bytes") == {"a": "\N{REPLACEMENT CHARACTER}" * 2}


def test_amounts_are_finite_numbers_from_zero_up() -> None:
    assert [amount(text) for text in ("0", " 12\n", "2.5")] == [0, 12, 2.5]
    assert [amount(text) for text in ("", "max", "-1", "nan", "inf", "1e999")] == [None] * 6


def test_mounts_are_read_with_blanks_in_their_names(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("41 27 0:51 /a /my\\040disk rw - lustre o2ib:/fs rw,flock\nno mount\n - x y\n")
    expected = Mount(Path("/a"), Path("/my disk"), "lustre", "o2ib:/fs", frozenset(["rw", "flock"]))
    assert read_mounts(tmp_path / "m") == [expected]


def test_the_processor_is_told_by_its_name(computer: Computer) -> None:
    root = computer({"proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC 7763\nprocessor\t: 1\n"})
    assert processor(root) == "AMD EPYC 7763"
    assert processor(root / "absent") != ""

"""Which file is written, and by whom: locks on the file itself, its identity, files that appear whole or not at all."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.errors import InputError, RankError
from lossgrid.files import in_use, locked, writing
from lossgrid.files import lock as lock_module
from lossgrid.surface import PENDING, Axis, Grid, Work
from tests.builders import a_grid, quantities, results
from tests.pace import soon

METRICS = quantities("train")
GRID = a_grid()
CONFIG = {"model": "mlp", "splits": ["train"], "alpha": str(GRID.alpha), "beta": str(GRID.beta)}


def make(path: Path, *, rows: int = 0, finish: bool = False) -> store.Identity:
    identity = store.create(path, GRID, METRICS, config=CONFIG, provenance={"writer": "root"})
    write(path, rows)
    if finish:
        store.finish(identity)
    return identity


def write(path: Path, rows: int) -> None:
    file = store.SurfaceFile(path, METRICS)
    for row in range(rows):
        file.write(results(Work(row, 0, 5), np.full((5, 3), row + 0.5)), rank=0)
    file.close()


# the lock


def test_a_surface_is_locked_through_every_symbolic_link(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    make(path)
    (tmp_path / "folder").mkdir()
    link, second = tmp_path / "link.h5", tmp_path / "folder" / "second.h5"
    link.symlink_to("s.h5")
    second.symlink_to(link)
    with locked(second):
        assert in_use(path)
        assert in_use(link)
        for name in (path, link):
            with pytest.raises(InputError, match="is in use by process"), locked(name):
                pass
    assert not in_use(path)
    assert not list(tmp_path.rglob("*.lock"))


def test_a_surface_of_two_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    make(path)
    (tmp_path / "other.h5").hardlink_to(path)
    for name in ("s.h5", "other.h5"):
        with pytest.raises(InputError, match=r"has 2 names \(hard links\)"), locked(tmp_path / name):
            pass
    (tmp_path / "other.h5").unlink()
    with locked(path):
        pass


def test_a_link_that_leads_nowhere_is_called_that(tmp_path: Path) -> None:
    link = tmp_path / "s.h5"
    link.symlink_to("nowhere/at all.h5")
    with (
        pytest.raises(InputError, match=r"s\.h5 is a link to nowhere/at all\.h5, which does not exist"),
        locked(link),
    ):
        pass
    round_and_round = tmp_path / "r.h5"
    round_and_round.symlink_to("r.h5")
    with pytest.raises(InputError, match=r"is a link to r\.h5"), locked(round_and_round):
        pass


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "file", "similar file", "pipe", "folder"])
def test_what_is_no_lock_of_ours_is_never_touched(tmp_path: Path, kind: str) -> None:
    precious, lock = tmp_path / "thesis.tex", tmp_path / "s.h5.lock"
    precious.write_text("years of work")
    if kind == "symbolic link":
        lock.symlink_to(precious)
    elif kind == "hard link":
        precious.write_text("")  # might be a lock by what it holds
        lock.hardlink_to(precious)
    elif kind == "pipe":
        os.mkfifo(lock)
    elif kind == "folder":
        lock.mkdir()
    else:
        lock.write_text("years of work" if kind == "file" else "process 5 on a host\nand years of work\n")
    before, size = lock.lstat(), precious.stat().st_size
    with pytest.raises(InputError, match=r"s\.h5\.lock is no lock of lossgrid"), locked(tmp_path / "s.h5"):
        pass
    assert os.path.samestat(before, lock.lstat())
    assert (lock.lstat().st_size, precious.stat().st_size) == (before.st_size, size)


@pytest.fixture
def another_node(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that makes this process one of another node, which the locks of this one do not keep out."""
    monkeypatch.setattr(lock_module, "MARK_SECONDS", 0.1)
    monkeypatch.setattr(lock_module, "WATCH_SECONDS", soon(0.6))

    def move() -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)

    return move


def test_a_lock_that_does_not_reach_another_node_keeps_it_out_by_its_time(
    tmp_path: Path, another_node: Callable[[], None]
) -> None:
    path, here = tmp_path / "s.h5", f"process {os.getpid()} on {socket.gethostname()}"
    with locked(path):
        another_node()
        with pytest.raises(InputError, match=f"is in use by {here}, and locks of this"), locked(path):
            pass
        assert (tmp_path / "s.h5.lock").read_text() == f"{here}\n"
    with locked(path):
        assert (tmp_path / "s.h5.lock").read_text().endswith(" on elsewhere\n")


def test_a_lock_that_was_left_on_another_node_is_taken(tmp_path: Path, another_node: Callable[[], None]) -> None:
    another_node()
    (tmp_path / "s.h5.lock").write_text("process 5 on n1\n")
    began = time.monotonic()
    with locked(tmp_path / "s.h5"):
        assert time.monotonic() - began >= 0.6


def test_a_lock_that_was_left_on_this_node_is_taken_at_once(tmp_path: Path) -> None:
    (tmp_path / "s.h5.lock").write_text(f"process 5 on {socket.gethostname()}\n")
    began = time.monotonic()
    with locked(tmp_path / "s.h5"):
        assert time.monotonic() - began < soon(2)


def test_a_lock_that_another_file_has_replaced_is_not_removed(tmp_path: Path) -> None:
    lock = tmp_path / "s.h5.lock"
    with locked(tmp_path / "s.h5"):
        lock.unlink()
        lock.write_text("years of work")
    assert lock.read_text() == "years of work"


# the identity


def test_every_file_has_an_identity_of_its_own(tmp_path: Path) -> None:
    one, two = make(tmp_path / "a.h5"), make(tmp_path / "b.h5")
    assert one.key != two.key
    assert store.read(tmp_path / "a.h5").id == one.key.decode()
    one.verify()
    assert store.identify(tmp_path / "a.h5", one.key.decode()) == one
    with pytest.raises(RankError, match="was replaced by another file"):
        store.identify(tmp_path / "a.h5", two.key.decode())


@pytest.mark.parametrize("how", ["moved", "replaced", "copied over", "cut", "emptied", "filled with zeros", "a folder"])
def test_a_file_that_is_not_that_of_the_run_is_never_finished(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "s.h5", tmp_path / "other.h5"
    identity = make(path, rows=3)
    make(other, rows=3)
    content = path.read_bytes()
    if how in ("moved", "a folder"):
        path.rename(tmp_path / "away.h5")
        if how == "a folder":
            path.mkdir()
    elif how == "replaced":
        other.replace(path)
    else:
        with path.open("r+b") as file:
            file.truncate({"cut": len(content) // 2, "emptied": 0}.get(how, len(content)))
            file.write(other.read_bytes() if how == "copied over" else b"" if how == "cut" else bytes(len(content)))
    with pytest.raises(RankError, match=r"s\.h5 was (moved or deleted|cut or written over)"):
        store.finish(identity)
    if how in ("replaced", "copied over"):
        assert not store.read(path).complete


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_an_older_copy_of_the_same_file_lacks_points_and_is_not_finished(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "s.h5"
    identity = make(path, rows=rows)
    backup = path.read_bytes()
    write(path, 3)
    with path.open("r+b") as file:
        file.write(backup)
    with pytest.raises(RankError, match=f"lacks {15 - 5 * rows} of 15 points that were computed"):
        store.finish(identity)
    assert not store.read(path).complete
    write(path, 3)
    assert store.finish(identity).complete


def test_a_writer_notices_a_file_that_was_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.h5"
    make(path)
    file = store.SurfaceFile(path, METRICS)
    file.look()
    monkeypatch.setattr("lossgrid.store.writer.LOOK_SECONDS", 0.0)
    file.look()
    make(tmp_path / "other.h5")
    with path.open("r+b") as same:
        same.write((tmp_path / "other.h5").read_bytes())
    with pytest.raises(RankError, match="was cut or written over"):
        file.look()
    file.close()


# the digest


@pytest.mark.parametrize("name", ["train_loss", "train_accuracy", "alpha", "beta", "seconds", "rank", "status"])
def test_a_changed_number_of_a_complete_surface_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s.h5"
    make(path, rows=3, finish=True)
    assert store.read(path).complete
    with h5py.File(path, "r+") as file:
        number = file[name][...].copy()
        bits = number.reshape(-1).view(np.uint8)
        bits[0] ^= 1
        file[name][...] = number
    with pytest.raises(InputError, match=r"s\.h5 .*(its digest is another)"):
        store.read(path)


@pytest.mark.parametrize("attribute", ["config", "provenance", "created"])
def test_changed_words_of_a_complete_surface_are_found(tmp_path: Path, attribute: str) -> None:
    path = tmp_path / "s.h5"
    make(path, rows=3, finish=True)
    with h5py.File(path, "r+") as file:
        file.attrs[attribute] = file.attrs[attribute] + " "
        assert store.read(path).complete  # blanks around it say nothing
        file.attrs[attribute] = file.attrs[attribute].replace("2", "3").replace("root", "parallel")
    with pytest.raises(InputError, match="its digest is another"):
        store.read(path)


def test_a_saved_surface_has_a_digest_too_and_older_files_need_none(tmp_path: Path) -> None:
    make(tmp_path / "s.h5", rows=3, finish=True)
    store.save(tmp_path / "copy.h5", store.read(tmp_path / "s.h5"))
    assert store.read(tmp_path / "copy.h5").complete
    with h5py.File(tmp_path / "copy.h5", "r+") as file:
        assert file.attrs["digest"].decode().strip()
        file["train_loss"][0, 0] = 9.0
    with pytest.raises(InputError, match="its digest is another"):
        store.read(tmp_path / "copy.h5")
    with h5py.File(tmp_path / "copy.h5", "r+") as file:
        for name in ("digest", "id", "rounding"):
            del file.attrs[name]
    older = store.read(tmp_path / "copy.h5")
    assert (older.complete, older.id, older["train_loss"][0, 0]) == (True, "", 9.0)


# done without values, and other contradictions


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_point_that_is_done_without_its_value_is_pending(tmp_path: Path, value: float) -> None:
    path = tmp_path / "s.h5"
    identity = make(path, rows=3)
    with h5py.File(path, "r+") as file:
        file["train_accuracy"][1, 2] = value
    surface = store.read(path)
    assert (surface.pending, surface.done, int(surface.status[1, 2])) == (1, 14, PENDING)
    with pytest.raises(RankError, match="lacks 1 of 15 points"):
        store.finish(identity)


def test_complete_beside_pending_points_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    make(path, rows=2)
    with h5py.File(path, "r+") as file:
        file.attrs.modify("complete", 1)
    assert not store.read(path).complete
    assert store.read(path).pending == 5


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "alpha",
            lambda a: a * 2,
            "/alpha has 5 coordinates from -2.0 to 2.0, and its",
        ),
        ("beta", lambda b: b + 1e-6, "/beta has 3 coordinates from"),
        ("beta", lambda b: b[::-1], "/beta has no finite coordinates that rise"),
        ("alpha", lambda a: np.where(a == 0, np.nan, a), "/alpha has no finite coordinates"),
        ("alpha", lambda a: a * 0, "/alpha has no finite coordinates"),
        ("alpha", lambda a: a**3, "/alpha has 5 coordinates from -1.0 to 1.0, and its settings say"),
        ("status", lambda s: s + 77, "/status has the value 77; expected 0 to 4"),
    ],
)
def test_numbers_that_contradict_the_settings_are_refused(tmp_path: Path, name: str, change, said: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "s.h5"
    make(path)
    with h5py.File(path, "r+") as file:
        file[name][...] = change(file[name][...])
    with pytest.raises(InputError, match=said) as refusal:
        store.read(path)
    assert "\n" not in str(refusal.value)


def test_metrics_that_contradict_the_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    make(path)
    of_train, of_test = (json.dumps([one.as_json() for one in quantities(split)]) for split in ("train", "test"))
    with h5py.File(path, "r+") as file:
        for name in ("loss", "accuracy"):
            file.move(f"train_{name}", f"test_{name}")
        file.attrs["quantities"] = of_test
    with pytest.raises(InputError, match="it has nothing of split train, and its settings say --splits train"):
        store.read(path)
    with h5py.File(path, "r+") as file:
        for name in ("loss", "accuracy"):
            file.copy(f"test_{name}", f"train_{name}")
        file.attrs["quantities"] = json.dumps(json.loads(of_train) + json.loads(of_test))
    with pytest.raises(InputError, match="/test_loss belongs to none of the splits"):
        store.read(path)


# files that appear whole


def test_what_a_killed_process_was_making_is_removed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom lossgrid.files import writing\n"
        "writing.publish = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "writing.write_whole(Path(sys.argv[1]), memoryview(b'half'), overwrite=False)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path / "s.h5"], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    ours = left.with_name(left.name.replace(left.name.split("-")[2], str(os.getppid())))  # of one that lives
    elsewhere = left.with_name(".lossgrid-00000000-1234567-0.partial")  # of another host
    for path in (ours, elsewhere):
        path.touch()
    make(tmp_path / "s.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"s.h5", ours.name, elsewhere.name}


@pytest.mark.parametrize("limit", [0, 300, 3000])
@pytest.mark.parametrize("what", ["surface", "directions", "reference", "blocks"])
def test_a_disk_that_takes_no_more_is_one_line_and_no_crash(tmp_path: Path, what: str, limit: int) -> None:
    program = f"""
import resource, sys
from pathlib import Path
import numpy as np
from lossgrid import store
from lossgrid.surface import Axis, Grid, quantity
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
path = Path(sys.argv[1])
try:
    if {what!r} == "surface":
        metrics = [quantity.loss("train")]
        store.create(path, Grid(Axis(-1, 1, 500)), metrics, config={{}}, provenance={{}})
    elif {what!r} == "directions":
        store.write_directions(path, [{{"w": np.ones(2000)}}], about={{}}, overwrite=False)
    elif {what!r} == "reference":
        store.write_reference(path, store.ReferenceSurface(np.arange(900.0), None, {{}}, ""))
    else:
        store.make_blocks(path, 2, 400)
except (store.file.InputError, OSError) as error:
    sys.exit("refused: " + str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "f.h5"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "File too large" in done.stderr
    assert [path for path in tmp_path.iterdir() if path.name != "f.h5"] == []


def test_a_full_disk_is_one_line(disk_of: Callable[[str], Path]) -> None:
    disk = disk_of("64k")
    with pytest.raises(InputError, match=r"cannot write .*No space left on device"):
        store.write_directions(disk / "d.h5", [{"w": np.ones(20_000)}], about={}, overwrite=False)
    with pytest.raises(InputError, match=r"d\.h5 needs 8 MB, and its disk has .* left; choose another --out"):
        store.write_directions(disk / "d.h5", [{"w": np.ones(10**6)}], about={}, overwrite=False)
    with pytest.raises(OSError, match="No space left"):
        store.make_blocks(disk / "b", 2, 10_000)
    (disk / "b").unlink()
    assert list(disk.iterdir()) == []


# sizes


@pytest.mark.parametrize("grid", [Grid(Axis(-1, 1, 10**12)), Grid(Axis(-1, 1, 10**6), Axis(-1, 1, 10**6))])
def test_a_surface_that_cannot_fit_is_refused_before_anything_is_made(tmp_path: Path, grid: Grid) -> None:
    began = time.monotonic()
    with pytest.raises(
        InputError, match=r"a surface of 1,000,000,000,000 points takes 99 TB, and .* of memory are left"
    ):
        store.create(tmp_path / "s.h5", grid, METRICS, config={}, provenance={})
    assert time.monotonic() - began < soon(5)
    assert list(tmp_path.iterdir()) == []


def test_a_surface_that_the_disk_cannot_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.store.room.disk_left", lambda folder: 2e6)
    with pytest.raises(InputError, match=r"s\.h5 needs 3.3 MB, and its disk has 2 MB left; give --alpha"):
        store.create(tmp_path / "s.h5", Grid(Axis(-1, 1, 10**5)), METRICS, config={}, provenance={})


def test_a_link_is_followed_when_its_surface_is_replaced(tmp_path: Path) -> None:
    make(tmp_path / "s.h5")
    (tmp_path / "link.h5").symlink_to("s.h5")
    store.create(tmp_path / "link.h5", Grid(Axis(0, 1, 2)), METRICS, config={}, provenance={}, overwrite=True)
    assert (tmp_path / "link.h5").is_symlink()
    assert store.read(tmp_path / "s.h5").shape == (2,)
    assert writing._lives(os.getpid())

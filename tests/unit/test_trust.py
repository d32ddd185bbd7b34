"""HDF5 files of strangers: only numbers that the file itself holds are read, whatever the file names or claims."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.store import contents
from tests.builders import a_grid, quantity

METRICS = [quantity("train_loss")]
GRID = a_grid()
SHAPE = (3, 5)
Change = Callable[[h5py.Group, str, Path], None]


def surface(path: Path) -> Path:
    store.create(path, GRID, METRICS, config={"model": "mlp"}, provenance={"writer": "root"})
    return path


def directions(path: Path) -> Path:
    store.write_directions(path, [{"w": np.ones(SHAPE)}], about={}, overwrite=False)
    return path


def reference(path: Path) -> Path:
    x, y = np.linspace(-1, 1, 5), np.linspace(0, 2, 3)
    store.write_reference(path, store.ReferenceSurface(x, y, {"train_loss": np.ones(SHAPE)}, "d.h5"))
    return path


def external(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, SHAPE, "f8", external=[(str(secret), 0, 15 * 8)])


def external_link(group: h5py.Group, name: str, secret: Path) -> None:
    with h5py.File(secret.with_name("other.h5"), "w") as other:
        other["x"] = np.ones(SHAPE)
    group[name] = h5py.ExternalLink("other.h5", "/x")


def soft_link(group: h5py.Group, name: str, secret: Path) -> None:
    group.file["/elsewhere"] = np.ones(SHAPE)
    group[name] = h5py.SoftLink("/elsewhere")


def dangling_link(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = h5py.SoftLink("/nowhere")


def virtual(group: h5py.Group, name: str, secret: Path) -> None:
    with h5py.File(secret.with_name("other.h5"), "w") as other:
        other["x"] = np.ones(SHAPE)
    layout = h5py.VirtualLayout(SHAPE, "f8")
    layout[...] = h5py.VirtualSource("other.h5", "x", SHAPE)
    group.create_virtual_dataset(name, layout)


def terabytes(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, (10**6, 10**6), "f8", chunks=(100, 100))


def terabytes_behind_gzip(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, (10**7, 10**6), "f8", chunks=(100, 100), compression="gzip")[0, 0] = 1.0


def terabytes_in_a_row(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, (10**12,), "f8")


def a_chunk_of_gigabytes(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, (1,), "f8", maxshape=(None,), chunks=(4 * 10**8,), compression="gzip")


def compound(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = np.zeros(SHAPE, [("a", "f8"), ("b", "i4")])


def opaque(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = np.zeros(SHAPE, "V8")


def of_many_lengths(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, SHAPE, h5py.vlen_dtype(np.float64))


def references(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, SHAPE, h5py.ref_dtype)


def text(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = [["1.0"] * 5] * 3


def booleans(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = np.ones(SHAPE, bool)


def an_array_of_arrays(group: h5py.Group, name: str, secret: Path) -> None:
    group.create_dataset(name, (3,), np.dtype(("f8", (5,))))


def nothing(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = h5py.Empty("f8")


def a_named_type(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = np.dtype("f8")


def itself(group: h5py.Group, name: str, secret: Path) -> None:
    group[name] = group.create_group("inner")
    group["inner"]["again"] = group["inner"]


CHANGES = [
    external, external_link, soft_link, dangling_link, virtual, terabytes, terabytes_behind_gzip, terabytes_in_a_row,
    a_chunk_of_gigabytes, compound, opaque, of_many_lengths, references, text, booleans, an_array_of_arrays, nothing,
    a_named_type, itself,
]  # fmt: skip
READERS: list[tuple[Callable[[Path], Path], Callable[[Path], Any], str]] = [
    (surface, store.read, "train_loss"),
    (surface, store.read, "alpha"),
    (directions, store.read_directions, "xdirection/0"),
    (reference, store.read_reference, "train_loss"),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize(("make", "read", "name"), READERS, ids=["surface", "axis", "directions", "reference"])
def test_what_is_no_number_of_the_file_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, read: Any, name: str, change: Change
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 200)
    path = make(tmp_path / "f.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
        change(file[name].parent if name in file else file[str(Path("/", name).parent)], Path(name).name, secret)
    with pytest.raises(InputError, match=r"f\.h5") as refusal:
        read(path)
    assert "\n" not in str(refusal.value)
    assert read is not store.read or change in (nothing, itself) or "is refused" in str(refusal.value)


@pytest.mark.parametrize("filters", [{"compression": "gzip", "shuffle": True}, {"compression": "lzf"}, {}])
def test_files_that_were_packed_again_are_read(tmp_path: Path, filters: dict[str, Any]) -> None:
    path = directions(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        del file["xdirection/0"]
        file["xdirection"].create_dataset("0", data=np.full((500, 400), 2.5, ">f4"), chunks=(100, 100), **filters)
    (stored,) = store.read_directions(path)
    np.testing.assert_array_equal(stored.arrays[0], np.full((500, 400), 2.5))
    assert stored.arrays[0].dtype == np.dtype("=f4")


def test_complex_directions_keep_both_parts(tmp_path: Path) -> None:
    tensor = np.array([[1 + 2j, -3j]])
    store.write_directions(tmp_path / "d.h5", [{"w": tensor}], about={}, overwrite=False)
    np.testing.assert_array_equal(store.read_directions(tmp_path / "d.h5")[0].arrays[0], tensor)


@pytest.mark.slow
def test_what_is_larger_than_memory_is_refused_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = surface(tmp_path / "s.h5")
    monkeypatch.setattr("lossgrid.machine.memory.memory_left", lambda: 100.0)
    with pytest.raises(InputError, match=r"its numbers take 379 bytes, and 100 bytes of memory are left"):
        store.read(path)
    monkeypatch.undo()
    assert store.read(path).shape == SHAPE


def test_a_reader_that_is_killed_is_started_again(tmp_path: Path) -> None:
    path = surface(tmp_path / "s.h5")
    store.read(path)
    first = contents._reader()._process.pid
    os.kill(first, signal.SIGKILL)
    assert store.read(path).shape == SHAPE
    assert contents._reader()._process.pid != first


def test_one_process_reads_all_files_and_is_no_rank_of_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if contents._running is not None:
        contents._running.end()
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path))
    for name in ("a.h5", "b.h5"):
        store.read(surface(tmp_path / name))
    process = contents._reader()._process.pid
    variables = Path(f"/proc/{process}/environ").read_bytes()
    assert b"OMPI" not in variables
    assert b"HDF5_PLUGIN_PATH" not in variables
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):  # to all processes of a job
        os.kill(process, number)
    store.read(tmp_path / "a.h5")
    assert contents._reader()._process.pid == process


def test_ctrl_c_while_a_file_is_read_does_not_mix_up_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = surface(tmp_path / "s.h5"), directions(tmp_path / "d.h5")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(contents._Reader, "_fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.read(one)
    assert len(store.read_directions(other)) == 1


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("config", "[]"), ("config", "{"), ("config", 3), ("config", "[" * 100_000), ("config", '{"splits": {}}'),
        ("config", '{"loss": []}'), ("provenance", "7"), ("provenance", '{"merged": 5}'),
        ("provenance", '{"imported": "x"}'),
        ("provenance", '{"digests": {"data": []}}'), ("complete", 77), ("complete", "yes"), ("created", 5),
        ("sessions", np.bytes_("[[1, 2]]")), ("sessions", np.bytes_('[["a", 1, 2]]')), ("sessions", [1, 2]),
        ("rounding", np.bytes_("[]")), ("rounding", np.bytes_('{"largest": 3}')), ("id", "../../x"),
        ("rounding", np.bytes_('{"largest": {"a": "b"}, "points": [], "precision": "tf32"}')),
        ("format_version", "one"),
    ],
)  # fmt: skip
def test_attributes_of_other_types_are_refused_in_one_line(tmp_path: Path, attribute: str, value: Any) -> None:
    path = surface(tmp_path / "s.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs[attribute]
        file.attrs[attribute] = value
    if attribute == "sessions" and isinstance(value, list):  # not one text: as in files of older versions
        assert store.read(path).sessions == ()
        return
    with pytest.raises(InputError, match=rf"s\.h5 .*{attribute.partition('_')[0]}") as refusal:
        store.read(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["alpha", "status", "seconds", "rank"])
@pytest.mark.parametrize("change", ["missing", "retyped", "a group"])
def test_members_that_are_missing_or_of_another_type_are_named(tmp_path: Path, name: str, change: str) -> None:
    path = surface(tmp_path / "s.h5")
    with h5py.File(path, "r+") as file:
        shape = file[name].shape
        del file[name]
        if change == "retyped":
            file[name] = np.zeros(shape, np.int64)
        elif change == "a group":
            file[name] = file.create_group("inner")
            del file["inner"]
    with pytest.raises(InputError, match=f"/{name}"):
        store.read(path)


@pytest.mark.parametrize("attribute", ["names", "moved"])
@pytest.mark.parametrize("value", ["{}", "[1]", "[", '["w", "w"]', '["v"]', 5])
def test_names_of_directions_that_are_none_are_refused(tmp_path: Path, attribute: str, value: Any) -> None:
    path = directions(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        file["xdirection"].attrs[attribute] = value
    if (attribute, value) == ("names", '["v"]'):
        value = "no tensor"
    with pytest.raises(InputError, match=r"d\.h5 is not a direction file or is damaged"):
        store.read_directions(path)


def test_writing_is_rehearsed_in_memory_only(tmp_path: Path) -> None:
    path = surface(tmp_path / "s.h5")
    before, content = path.stat(), path.read_bytes()
    assert store.read(path, to_write=True).shape == SHAPE
    assert path.read_bytes() == content
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert [found.name for found in tmp_path.iterdir()] == ["s.h5"]


def test_a_file_that_is_read_and_cannot_be_written_is_refused_before_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = surface(tmp_path / "s.h5")
    if contents._running is not None:
        contents._running.end()
    crash = "from lossgrid.store import trust; import os; trust.rehearse = lambda path: os.abort(); "
    monkeypatch.setattr(
        contents, "PROGRAM", contents.PROGRAM.replace("from lossgrid.store.trust", crash + "from lossgrid.store.trust")
    )
    assert store.read(path).shape == SHAPE
    with pytest.raises(InputError, match=r"s\.h5 is not a surface file or is damaged \(HDF5 crashes on it\)"):
        store.read(path, to_write=True)
    assert contents._running is None


def test_a_fault_in_mid_answer_spoils_no_later_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = surface(tmp_path / "s.h5")
    if contents._running is not None:
        contents._running.end()
    fault = "from lossgrid.store import trust; trust._send_numbers = lambda *_: 1 / 0; "
    with monkeypatch.context() as patch:
        patch.setattr(
            contents,
            "PROGRAM",
            contents.PROGRAM.replace("from lossgrid.store.trust", fault + "from lossgrid.store.trust"),
        )
        with pytest.raises(InputError, match="the process that reads it was ended: exit code 1"):
            store.read(path)
    assert store.read(path).shape == SHAPE

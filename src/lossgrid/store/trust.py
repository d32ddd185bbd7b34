"""Safe reading of an HDF5 file of unknown origin: only numbers and text that the file itself contains.

Links, storage, filters, types and sizes are checked before anything is read. No link may lead to another file, and no
claimed size may exceed what the bytes of the file can hold. HDF5 itself may crash or hang on a damaged file. So
:func:`serve` runs in a separate process, which :mod:`lossgrid.store.contents` starts.
"""

from __future__ import annotations

import io
import json
import math
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from lossgrid.errors import in_short

MOST_MEMBERS = 100_000  # a direction file has one dataset for each tensor of a network
MOST_TEXT = 64 << 20  # bytes of all text together
MOST_EXPANSION = 1032  # most bytes that one byte of deflate can expand to
SMALL_CHUNK = 1 << 20  # bytes: a chunk up to this size may be larger than its dataset
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
LOCAL = {h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED, h5py.h5d.COMPACT}
WIDTHS = {"i": 8, "u": 8, "f": 8, "c": 16}  # bytes of the widest number of each kind
BYTES_PER_SECOND = 20e6  # lower bound of the reading speed, also of compressed data
LENGTH = 8  # bytes of the length in front of every part of an answer
FAILED = -1  # instead of a length: the next part is an error


class RefusedError(ValueError):
    """The file contains something that lossgrid refuses."""


class StrangeError(RefusedError):
    """A member of the file cannot be read; harmless if the caller does not need it."""


def serve() -> None:
    """Answer requests, one JSON object a line on standard input, until it ends.

    An answer is a JSON object, then the bytes of each array. The object is ``{"error": ...}`` or the description by
    :func:`inspect_file`. The length precedes each part. ``FAILED`` and the reason replace an array that cannot be read.
    """
    # Signals that end or stop the run do not end this process: it ends when its input does.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # The limit is on processor time, as a file system may be slow. The kernel enforces it: Python cannot interrupt
        # HDF5.
        signal.setitimer(signal.ITIMER_PROF, request["seconds"] + request["size"] / BYTES_PER_SECOND)
        answered = False
        try:
            if request["rehearse"]:
                rehearse(request["path"])
            with h5py.File(request["path"], "r", locking=False) as file:
                description, datasets = inspect_file(file, request["size"])
                _send(answers, json.dumps(description).encode())
                answered = True
                for dataset in datasets:
                    _send_numbers(answers, dataset)
        except Exception as error:  # of any kind: the other process must get exactly one answer
            if answered:
                sys.exit(1)
            _send(answers, json.dumps({"error": _text_of(error), "refused": isinstance(error, RefusedError)}).encode())
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.flush()


def rehearse(path: str) -> None:
    """Write all numbers and the first attributes of a surface again, in memory only: HDF5 may crash on that too.

    Raises:
        Exception: HDF5 cannot write the file.
    """
    content = Path(path).read_bytes()
    with h5py.File(io.BytesIO(content), "r+") as file:
        _, datasets = inspect_file(file, len(content))
        for dataset in datasets:
            dataset[...] = dataset[...]
        for name in ("sessions", "complete"):
            if name in file.attrs:
                file.attrs.modify(name, file.attrs[name])
        file.flush()


def _text_of(error: Exception) -> str:
    return in_short(error) or type(error).__name__


def _send(answers: BinaryIO, part: bytes | memoryview) -> None:
    answers.write(len(part).to_bytes(LENGTH, "little", signed=True))
    answers.write(part)


def _send_numbers(answers: BinaryIO, dataset: h5py.Dataset) -> None:
    try:
        numbers = np.ascontiguousarray(dataset[...], dtype=dataset.dtype.newbyteorder("="))
    except Exception as error:
        answers.write(FAILED.to_bytes(LENGTH, "little", signed=True))
        _send(answers, _text_of(error).encode())
        return
    _send(answers, numbers.reshape(-1).view(np.uint8).data)


def inspect_file(file: h5py.File, size: int) -> tuple[dict[str, Any], list[h5py.Dataset]]:
    """Check all members of a file, without reading any array.

    Args:
        file: The open file.
        size: Its size in bytes.

    Returns:
        A description and the datasets of its arrays. The description has ``attributes`` (path of the owner, ``""`` for
        the file -> name -> text or number), ``texts`` (datasets of one text, by path), ``strange`` (members that are
        not read: path -> reason) and ``arrays`` (``[path, dtype, shape]`` each).

    Raises:
        RefusedError: The file contains something that lossgrid refuses.
    """
    attributes: dict[str, dict[str, Any]] = {}
    texts: dict[str, str] = {}
    strange: dict[str, str] = {}
    arrays: list[Any] = []
    datasets: list[h5py.Dataset] = []
    claimed = 0
    for path, member in _members(file):
        attributes[path] = attributes_of(member)
        if not isinstance(member, h5py.Dataset):
            if "/" in path:  # its members are not visited: a group may contain itself
                strange[path] = f"/{path} is no dataset; expected datasets in /{path.partition('/')[0]}"
            continue
        refuse_other_places(path, member)
        try:
            if member.id.get_type().get_class() == h5py.h5t.STRING:
                texts[path] = _text(path, member)
                continue
            claimed += refuse_other_numbers(path, member, size)
        except StrangeError as error:
            strange[path] = str(error)
            continue
        if claimed > MOST_EXPANSION * size:
            raise RefusedError(f"its datasets claim {claimed} bytes in all, the file has {size}")
        arrays.append([path, member.dtype.newbyteorder("=").str, member.shape])
        datasets.append(member)
    if sum(map(len, texts.values())) > MOST_TEXT:
        raise RefusedError("it holds too much text")
    return {"attributes": attributes, "texts": texts, "strange": strange, "arrays": arrays}, datasets


def _members(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Yield path and object of the file, its members and those of its groups; refuse links to other files."""
    yield "", file
    for name, member in _linked(file, ""):
        yield name, member
        if isinstance(member, h5py.Group):
            for inner, leaf in _linked(member, f"{name}/"):
                yield f"{name}/{inner}", leaf


def _linked(group: h5py.Group, prefix: str) -> Iterator[tuple[str, Any]]:
    if len(group) > MOST_MEMBERS:
        raise RefusedError(f"/{prefix} has {len(group)} members; expected at most {MOST_MEMBERS}")
    for name in group:
        if not name.isprintable():
            raise RefusedError(f"the name {prefix + name!r} has characters that cannot be printed")
        link = group.id.links.get_info(name.encode()).type
        if link != h5py.h5l.TYPE_HARD:
            kind = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}
            raise RefusedError(
                f"/{prefix}{name} is {kind.get(link, 'a link')}; expected the numbers in the file itself"
            )
        member = group[name]
        if not isinstance(member, (h5py.Dataset, h5py.Group)):
            raise RefusedError(f"/{prefix}{name} is neither a dataset nor a group")
        yield name, member


def refuse_other_places(path: str, dataset: h5py.Dataset) -> None:
    """Raise RefusedError if a dataset has its numbers in another file, or uses a filter of neither HDF5 nor h5py.

    Raises:
        RefusedError: It does.
    """
    creation = dataset.id.get_create_plist()
    if creation.get_layout() not in LOCAL:
        raise RefusedError(f"/{path} is a virtual dataset; expected the numbers in the file itself")
    if creation.get_external_count():
        raise RefusedError(f"/{path} has external storage; expected the numbers in the file itself")
    for number in range(creation.get_nfilters()):
        code = creation.get_filter(number)[0]
        if code not in FILTERS:
            raise RefusedError(f"/{path} was written with the filter {code}; expected gzip, lzf, or none")


def refuse_other_numbers(path: str, dataset: h5py.Dataset, size: int) -> int:
    """Raise an error if a dataset contains anything but numbers, or claims more of them than the file can hold.

    Args:
        path: The path of the dataset.
        dataset: The dataset.
        size: Size of the file in bytes.

    Returns:
        The size of its numbers in bytes.

    Raises:
        StrangeError: It contains no numbers of at most 64 bits.
        RefusedError: It claims more numbers than the file can hold.
    """
    kind = dataset.dtype.kind if dataset.id.get_type().get_class() in _NUMBERS else None
    if kind not in WIDTHS or dataset.dtype.itemsize > WIDTHS[kind]:
        raise StrangeError(f"/{path} holds {dataset.dtype}; expected numbers of at most 64 bits")
    if dataset.shape is None:
        raise StrangeError(f"/{path} is empty; expected numbers")
    claimed: int = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = int(dataset.id.get_storage_size())
    layout = dataset.id.get_create_plist().get_layout()
    if layout == h5py.h5d.CHUNKED:
        chunk = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
        holds = MOST_EXPANSION * min(stored, size) if chunk <= max(claimed, SMALL_CHUNK) else 0
    elif layout == h5py.h5d.CONTIGUOUS:
        offset = dataset.id.get_offset()
        holds = 0 if offset is None or offset + stored > size else stored
    else:
        holds = stored
    if claimed > holds:
        raise RefusedError(
            f"/{path} claims {claimed} bytes ({dataset.shape} of {dataset.dtype}), more than the file holds"
        )
    return claimed


_NUMBERS = {h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.COMPOUND}  # h5py keeps complex numbers as compounds


def attributes_of(owner: Any) -> dict[str, Any]:
    """Return the attributes that are one text or one number; skip others, such as those of dimension scales."""
    found: dict[str, Any] = {}
    if len(owner.attrs) > MOST_MEMBERS:
        raise RefusedError(f"{owner.name} has {len(owner.attrs)} attributes; expected at most {MOST_MEMBERS}")
    for name in owner.attrs:
        attribute = owner.attrs.get_id(name)
        kind = attribute.get_type().get_class()
        if attribute.get_space().get_simple_extent_type() != h5py.h5s.SCALAR:
            continue
        if kind == h5py.h5t.STRING:
            found[name] = _plain(owner.attrs[name])
        elif kind in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
            found[name] = owner.attrs[name].item()
    if sum(len(value) for value in found.values() if isinstance(value, str)) > MOST_TEXT:
        raise RefusedError(f"{owner.name} has too much text in its attributes")
    return found


def _text(path: str, dataset: h5py.Dataset) -> str:
    if dataset.shape != ():
        raise StrangeError(f"/{path} holds an array of text; expected numbers")
    return _plain(dataset[()])


def _plain(text: str | bytes) -> str:
    """Return ``text`` with undecodable bytes replaced, so that it can be encoded again."""
    raw = text.encode(errors="surrogateescape") if isinstance(text, str) else bytes(text)
    return raw.decode(errors="replace")

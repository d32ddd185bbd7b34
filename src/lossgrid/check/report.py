"""The output of ``check``: tables of facts, results of the writes, and findings; 100 to 120 columns wide."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lossgrid.check.rank_facts import RankFacts
from lossgrid.check.trial import Trial
from lossgrid.machine.disks import FileSystem
from lossgrid.machine.finding import Finding
from lossgrid.machine.launcher import Launch
from lossgrid.machine.resources import by_host, hosts_in_words, shortened
from lossgrid.wording import spans

WIDTH = 112  # characters of a line
ROWS = 64  # most ranks with a row each; more are grouped by host
CORES = 24  # most characters of a list of CPUs
WRITERS = {"parallel": "every rank writes the file itself", "root": "rank 0 writes for all"}


def library_lines(ranks: Sequence[RankFacts], launch: Launch | None) -> list[str]:
    """Return lines on the libraries of rank 0 and the launcher."""
    first = ranks[0]
    versions = first.versions
    used = [versions["MPI"], *first.mpi_libraries] if versions["MPI"] != "none" else ["not started; it is under mpirun"]
    hosts = by_host(ranks)
    by = "no launcher" if launch is None else f"started by {launch.launcher}"
    return [
        *labelled(
            "lossgrid",
            f"{versions['lossgrid']}, "
            + ", ".join(f"{name} {versions[name]}" for name in ("Python", "torch", "numpy")),
        ),
        *labelled("mpi4py", ", ".join([versions["mpi4py"], *used])),
        *labelled(
            "h5py",
            f"{versions['h5py']}, HDF5 {versions['HDF5']}, {'parallel' if first.parallel_hdf5 else 'without MPI'}",
        ),
        *labelled("ranks", f"{len(ranks)} on {_count(len(hosts), 'host')}, {by}"),
    ]


def labelled(name: str, text: str, indent: int = 10) -> list[str]:
    """Return a line that begins with a name; where it is too long, what follows is indented."""
    return textwrap.wrap(
        f"{name:<10}{text}", WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def rank_lines(ranks: Sequence[RankFacts]) -> list[str]:
    """Return a table with a row for each rank; for more than ``ROWS`` ranks, one for each kind of host."""
    if len(ranks) <= ROWS:
        has_gpu = any(one.uuid for one in ranks)
        head = ["rank", "host", "local rank", "device", *(["UUID"] if has_gpu else []), "threads", "cores"]
        rows = [
            [
                str(one.rank),
                one.host,
                str(one.local_rank),
                one.computes_on,
                *([one.uuid] if has_gpu else []),
                str(one.threads),
                f"{len(one.cores)}: {shortened(spans(sorted(one.cpus)), CORES)}",
            ]
            for one in ranks
        ]
        return _table(head, rows)
    alike: dict[tuple[tuple[str, int, int], ...], list[list[RankFacts]]] = {}
    for neighbours in by_host(ranks).values():
        pattern = tuple((one.computes_on, one.threads, len(one.cores)) for one in neighbours)
        alike.setdefault(pattern, []).append(neighbours)
    rows = []
    for pattern, nodes in alike.items():
        devices = Counter(device for device, _, _ in pattern)
        rows.append(
            [
                shortened(spans(sorted(one.rank for node in nodes for one in node)), CORES),
                hosts_in_words([node[0].host for node in nodes]),
                str(len(pattern)),
                ", ".join(f"{count} x {device}" for device, count in devices.items()),
                spans(sorted({threads for _, threads, _ in pattern})),
                spans(sorted({cores for _, _, cores in pattern})),
            ]
        )
    return _table(["ranks", "hosts", "ranks on each", "devices", "threads", "cores"], _few(rows))


def _few(rows: list[list[str]]) -> list[list[str]]:
    if len(rows) <= ROWS:
        return rows
    return [*rows[:ROWS], ["...", f"and {len(rows) - ROWS} more kinds of host", *[""] * (len(rows[0]) - 2)]]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]


def folder_lines(folder: Path, where: FileSystem, locks: Mapping[str, str | None]) -> list[str]:
    """Return lines on the folder for surfaces and its locks."""
    states = ", ".join(f"{kind} {problem or 'works'}" for kind, problem in locks.items()) or "not tried"
    return [
        *labelled("folder", f"{folder}: {where.kind} ({where.source}), {_bytes(where.free)} free"),
        *labelled("locks", states),
    ]


def trial_lines(trial: Trial) -> list[str]:
    """Return lines on the result of a writer."""
    if trial.skipped is not None:
        outcome = f"not tried, {trial.skipped}"
    elif trial.problem is not None:
        outcome = f"FAILED: {trial.problem}"
    else:
        measured = "too full to measure" if trial.bandwidth is None else f"{_bytes(trial.bandwidth)}/s"
        outcome = f"works, {measured}, a point in {1e3 * trial.point_seconds:.2g} ms"
    return textwrap.wrap(
        f"writer {trial.writer} ({WRITERS[trial.writer]}): {outcome}", WIDTH, subsequent_indent=" " * 10,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def finding_lines(finding: Finding) -> list[str]:
    """Return lines on a finding; the remedy begins a new line."""
    label = "ERROR" if finding.is_error else "warning"
    lines = textwrap.wrap(
        f"{label}: {finding.seen}.", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return lines + textwrap.wrap(
        f"-> {finding.remedy}", WIDTH, initial_indent="  ", subsequent_indent="     ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def verdict(findings: Sequence[Finding], trials: Sequence[Trial]) -> str:
    """Return the verdict on the installation, one line."""
    errors = sum(finding.is_error for finding in findings) + sum(trial.problem is not None for trial in trials)
    warnings = sum(not finding.is_error for finding in findings)
    counts = [_count(number, name) for number, name in ((errors, "error"), (warnings, "warning")) if number]
    if errors:
        return f"{' and '.join(counts)}: not fit for runs"
    return f"fit for runs, with {counts[0]}" if counts else "fit for runs; nothing wrong that can be seen from here"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bytes(number: float) -> str:
    """Return a number of bytes in words.

    >>> _bytes(812.4e6), _bytes(2e9), _bytes(1234)
    ('812 MB', '2.0 GB', '0.0012 MB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1e6:.3g} MB" if number >= 1e6 else f"{number / 1e6:.2g} MB"

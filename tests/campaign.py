"""A campaign of faults: jobs that are killed, frozen, stopped, fail or run out of disk at random moments.

    python -m tests.campaign [--rounds 200] [--seed N] [--ranks 3] [--fault NAME]... [--json FILE]

Every round starts the same run on the same surface, does one thing to it at a random moment between its start and its
end, and looks at the file: it must open, hold every point it was seen to hold before, and every point marked done must
have the value, to the bit, of a run that nothing happened to. The next round goes on with the file; when it is complete
it must be that of the undisturbed run, and a new one begins. A job that has not ended ``HANGS`` seconds after its fault
hangs. What a job says that was told to stop and ends with another exit code is shown. Rounds whose run was over before
the fault, the surface complete, are not counted. Prints a table; the exit code is 0 where all counts of what must not
be are 0.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lossgrid import store
from lossgrid.errors import InputError
from lossgrid.surface import PENDING
from tests.conftest import ROOT, SEED, launch
from tests.system.conftest import done_points, pid_of, running, values

GRID = ("--alpha", "-1:1:25", "--beta", "-0.5:0.5:20")
RUN = ("run", "--model", "users:net", "--data", "users:pictures", "--loss", "users:slow_loss", *GRID)
PACE = {"SECONDS_PER_POINT": "0.03"}
HEARTBEAT = 2
HANGS = 30.0  # s
DISK = 1 << 20
WRITERS = ("parallel", "root")
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
STOPPED = {75, *(128 + number for number in STOP_SIGNALS)}  # the latter where Python was still loading
STAGES = ("load", "to device", "open", "first point", "mid run", "write", "close")  # of programs/fail_at.py


@dataclass
class Tally:
    """What came of the rounds with one kind of fault and one writer."""

    rounds: int = 0
    codes: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    seconds: list[float] = field(default_factory=list)
    unreadable: int = 0
    lost: int = 0
    wrong: int = 0
    hangs: int = 0

    @property
    def bad(self) -> int:
        """How often something happened that must not."""
        return self.unreadable + self.lost + self.wrong + self.hangs


@dataclass
class Place:
    """Where a campaign works: a small disk of its own where this process may mount one."""

    folder: Path
    is_disk: bool

    @property
    def out(self) -> Path:
        """The surface."""
        return self.folder / "surface.h5"

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "junk").open("ab", buffering=0) as junk, suppress(OSError):
            while True:
                junk.write(bytes(4096))

    def free(self) -> None:
        """Take away what filled the disk."""
        (self.folder / "junk").unlink(missing_ok=True)


Job = subprocess.Popen[str]
Fault = Callable[[Job, random.Random, int, Place], None]


def someone(job: Job, chance: random.Random, ranks: int) -> int:
    return pid_of(job.pid, chance.randrange(ranks))


def kill(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    os.kill(someone(job, chance, ranks), signal.SIGKILL)


def kill_all(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    """End launcher and ranks at once, as when a machine loses power."""
    victims = []
    for rank in range(ranks):
        with suppress(AssertionError):  # one that has not started yet
            victims.append(pid_of(job.pid, rank))
    for victim in (job.pid, *victims):
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def freeze(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    os.kill(someone(job, chance, ranks), signal.SIGSTOP)


def stop(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    os.kill(someone(job, chance, ranks), chance.choice(STOP_SIGNALS))


def stop_all(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    number = chance.choice((signal.SIGTERM, signal.SIGUSR2))
    for rank in range(ranks):
        os.kill(pid_of(job.pid, rank), number)


def fill(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    """Fill the disk, and a moment later end the run, which goes on with the space its file has."""
    place.fill()
    time.sleep(chance.uniform(0, 0.3))
    with suppress(AssertionError, ProcessLookupError):
        stop(job, chance, ranks, place)


def raise_somewhere(job: Job, chance: random.Random, ranks: int, place: Place) -> None:
    """The command itself has the fault in it."""


FAULTS: dict[str, Fault] = {
    "kill -9 of a rank": kill,
    "kill -9 of all at once": kill_all,
    "a rank frozen": freeze,
    "a stop signal to a rank": stop,
    "a stop signal to all": stop_all,
    "an exception": raise_somewhere,
    "disk full, then stopped": fill,
}


def one_round(
    name: str, writer: str, chance: random.Random, ranks: int, seconds: float, place: Place, tally: Tally
) -> None:
    """Start the run, let the fault happen, see what the job comes to; where it was over before, nothing is counted."""
    command: list[object] = ["lossgrid", *RUN]
    if name == "an exception":
        stage = chance.choice(STAGES)
        rank = 0 if writer == "root" and stage in ("open", "write", "close") else chance.randrange(ranks)
        command = [ROOT / "tests" / "programs" / "fail_at.py", stage, rank, *RUN]
        seconds = 0.0  # it comes when it comes
    command += ["--writer", writer, "--out", place.out, "--heartbeat", HEARTBEAT]
    with running(ranks, *command, cwd=place.folder.parent, env=PACE) as job:
        time.sleep(chance.uniform(0, seconds))
        before = done_points(place.out) if place.out.exists() else 0
        was_over = before > 0 and store.read(place.out).complete
        began = time.monotonic()
        if not was_over:
            with suppress(AssertionError, ProcessLookupError):
                FAULTS[name](job, chance, ranks, place)
        said = ""
        try:
            _, said = job.communicate(timeout=HANGS + (seconds == 0) * HANGS)
        except subprocess.TimeoutExpired:
            tally.hangs += 1
            os.killpg(job.pid, signal.SIGKILL)
            _, said = job.communicate()
            print(f"HANGS: {name}, {writer}\n{said}", file=sys.stderr, flush=True)
        ended = time.monotonic()
    injected = re.search(r"injected into .* at ([\d.]+)", said)
    if injected is not None:
        began = ended - (time.time() - float(injected[1]))
    place.free()
    if job.returncode == 0 or was_over:
        return
    if FAULTS[name] in (stop, stop_all, fill) and job.returncode not in STOPPED:
        print(f"exit code {job.returncode}: {name}, {writer}\n{said}", file=sys.stderr, flush=True)
    tally.rounds += 1
    tally.codes[job.returncode if job.returncode is not None else -9] += 1
    tally.seconds.append(ended - began)
    tally.lost += max(0, before - done_points_or_none(place.out, tally))


def done_points_or_none(path: Path, tally: Tally) -> int:
    """Return how many points the file has; a file that cannot be read is counted."""
    try:
        return done_points(path)
    except InputError:
        tally.unreadable += 1
        return 0


def check(place: Place, right: dict[str, bytes], tally: Tally) -> bool:
    """Count points that are marked done and wrong; return whether the surface is complete."""
    if not place.out.exists():
        return False
    with suppress(InputError):
        now = values(place.out)
        done = now["status"] != PENDING
        for metric in ("train_loss", "train_accuracy"):
            tally.wrong += int((now[metric][done] != right[metric][done]).sum())
        return store.read(place.out).complete
    return False


Tallies = dict[tuple[str, str], Tally]


def campaign(rounds: int, seed: int, ranks: int, faults: Sequence[str], place: Place) -> Iterator[Tallies]:
    """Go through ``faults`` and both writers in turns until ``rounds`` have been counted; yield the count so far."""
    undisturbed = place.folder.parent / "undisturbed"
    undisturbed.mkdir()
    done = launch(0, "lossgrid", *RUN, cwd=undisturbed)
    assert done.returncode == 0, done.stderr
    right = values(undisturbed / "surface.h5")
    chance = random.Random(seed)
    began = time.monotonic()
    done = launch(ranks, "lossgrid", *RUN, cwd=place.folder)
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - began  # of a whole run: faults come at any moment of it
    place.out.unlink()
    faults = [name for name in faults if place.is_disk or FAULTS[name] is not fill]
    writers = [writer for writer in WRITERS if writer == "root" or store.has_parallel_hdf5()]
    tallies = {(name, writer): Tally() for name in faults for writer in writers}
    surfaces = 0
    while sum(tally.rounds for tally in tallies.values()) < rounds:
        for (name, writer), tally in tallies.items():
            one_round(name, writer, chance, ranks, seconds, place, tally)
            if check(place, right, tally):
                whole = values(place.out)
                tally.wrong += sum(whole[key].tobytes() != right[key].tobytes() for key in right)
                place.out.unlink()
                surfaces += 1
        counted = sum(tally.rounds for tally in tallies.values())
        bad = sum(tally.bad for tally in tallies.values())
        print(f"{counted} rounds, {surfaces} surfaces completed, bad: {bad}", file=sys.stderr, flush=True)
        yield tallies


def table(tallies: Tallies) -> str:
    """Return the tallies as a table in Markdown."""
    lines = [
        "| fault | writer | rounds | exit codes | ended after (median, most) | unreadable | lost | wrong | hangs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, writer), tally in tallies.items():
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(tally.codes.items()))
        after = f"{statistics.median(tally.seconds):.1f} s, {max(tally.seconds):.1f} s" if tally.seconds else "-"
        lines.append(
            f"| {name} | {writer} | {tally.rounds} | {codes} | {after} | {tally.unreadable} | {tally.lost} "
            f"| {tally.wrong} | {tally.hangs} |"
        )
    every = tallies.values()
    sums = (sum(getattr(tally, count) for tally in every) for count in ("unreadable", "lost", "wrong", "hangs"))
    lines.append(f"| **all** | | {sum(tally.rounds for tally in every)} | | | {' | '.join(map(str, sums))} |")
    return "\n".join(lines)


def main() -> int:
    """Read the options, run the campaign, print its table."""
    parser = argparse.ArgumentParser(description="Faults at random moments; see the head of the file.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(SEED), help="by default LOSSGRID_TEST_SEED, or a new one")
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--fault", action="append", choices=FAULTS, help="only this one; repeatable")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"--seed {options.seed}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk]
        is_disk = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        if not is_disk:
            print("NOT RUN: a full disk, as no small one can be mounted here", file=sys.stderr)
        tallies: Tallies = {}
        try:
            faults = options.fault or list(FAULTS)
            for tallies in campaign(options.rounds, options.seed, options.ranks, faults, Place(disk, is_disk)):
                if options.json is not None:
                    rows = [{"fault": name, "writer": writer, **vars(own)} for (name, writer), own in tallies.items()]
                    options.json.write_text(json.dumps(rows, indent=2))
        finally:
            if is_disk:
                subprocess.run(["umount", disk], check=True)
            print(table(tallies))
    return int(any(tally.bad for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())

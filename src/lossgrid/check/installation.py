"""The path of ``lossgrid check``: facts of all ranks, findings about them, real writes, a verdict."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from lossgrid import store
from lossgrid.check.devices import about_devices
from lossgrid.check.folder import about_folder, about_trials
from lossgrid.check.rank_facts import gather_facts
from lossgrid.check.report import WRITERS, finding_lines, folder_lines, library_lines, rank_lines, trial_lines, verdict
from lossgrid.check.software import about_software
from lossgrid.check.trial import Trial, find_unseen, make_workspace, remove_workspace, try_locks, try_writing
from lossgrid.errors import InputError
from lossgrid.machine.disks import file_system
from lossgrid.machine.finding import Finding
from lossgrid.machine.launcher import detect
from lossgrid.parallel import World, collective, on_root


@collective
def check_installation(world: World, folder: Path) -> bool:
    """Print facts and findings, try writes in ``folder``, and return whether runs can work.

    Each step is printed before the next one starts: the user can read it even if the next step hangs or crashes.

    Raises:
        InputError: The folder does not exist or there is no permission to write into it.
        RankError: No file can be made in it.
    """
    on_root(world, lambda: check_folder(folder))
    ranks = gather_facts(world)
    launch = detect()
    findings = [*about_software(ranks, launched=launch is not None), *about_devices(ranks)]
    printed(world, [*library_lines(ranks, launch), "", *rank_lines(ranks), ""])
    told(world, findings)

    workspace = make_workspace(world, folder)
    unseen = find_unseen(world, workspace)
    locks = {} if unseen else try_locks(world, workspace)
    where = on_root(world, lambda: file_system(folder))
    printed(world, folder_lines(folder.resolve(), where, locks))
    cannot = why_not_parallel(world, findings, unseen)
    trials = []
    for writer in WRITERS:
        skipped = cannot if writer == "parallel" else None
        trials.append(Trial(writer, skipped=skipped) if skipped else try_writing(world, workspace, writer))
        printed(world, trial_lines(trials[-1]))
    remove_workspace(world, workspace)

    found = [*about_folder(where, locks, unseen, ranks, parallel=cannot is None), *about_trials(trials)]
    printed(world, [""])
    told(world, found)
    findings += found
    printed(world, [verdict(findings, trials)])
    return not any(finding.is_error for finding in findings) and not any(trial.problem for trial in trials)


def check_folder(folder: Path) -> None:
    """Raise InputError if ``folder`` is no folder or cannot be written.

    Raises:
        InputError: It is no folder, or there is no permission.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one surfaces will be written to")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{folder} cannot be written; give another folder")


def why_not_parallel(world: World, findings: Sequence[Finding], unseen: Sequence[int]) -> str | None:
    """Return why writing by all ranks cannot be tried; None if it can."""
    if not store.has_parallel_hdf5():
        return "this h5py has no MPI"
    if world.comm is None:
        return "start it as: mpirun -n 2 lossgrid check FOLDER"
    if unseen or any(finding.is_error for finding in findings):
        return "as there are errors"
    return None


@collective
def told(world: World, findings: Sequence[Finding]) -> None:
    """Print findings on root."""
    for finding in findings:
        printed(world, [*finding_lines(finding), ""])


@collective
def printed(world: World, lines: Sequence[str]) -> None:
    """Print lines on root, at once."""
    if world.is_root:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()

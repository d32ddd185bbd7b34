"""What an experiment is made of: calls of the lossgrid command, carried out one after another or handed to SLURM.

Nothing is remembered here of what has been done. Each step is the same command every time, and lossgrid goes on with
what its file or folder lacks; pictures are drawn anew.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
OWN_DATA = "pictures"  # the module here that lossgrid reads data from
STOPPED = 75  # lossgrid's exit code for what goes on when started again
PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
# As containers and new machines have it: Open MPI refuses to work for root unless told twice, and to start more ranks
# than there are cores.
LAUNCHER = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "true",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
TO_HERE = "# ---- to here ----\n"  # ends what a user changes in a job file
EPOCHS = 'points() { cat "$out/epochs.csv" 2> /dev/null | wc -l; }'  # how far a training is, in the place of its points

Labelled = tuple[str, Path]  # a surface, and its name in pictures and tables


@dataclass(frozen=True)
class Step:
    """A call of the lossgrid command.

    Attributes:
        verb: ``train``, ``run``, ``plot`` or ``compare``.
        words: Its files and options, all but ``--out``.
        out: Its ``--out``; None for numbers without a picture.
        makes: What is there when it is done, which other steps need.
        needs: What other steps make and this one reads.
        tells: The file that takes what it prints, if any does.
    """

    verb: str
    words: tuple[str, ...]
    out: Path | None
    makes: Path
    needs: tuple[Path, ...] = ()
    tells: Path | None = None

    @property
    def computes(self) -> bool:
        """Whether it takes networks and data, and not only files of surfaces."""
        return self.verb in ("train", "run")

    @property
    def name(self) -> str:
        """What its job is called."""
        return f"{self.verb}-{(self.out or self.makes).name.removesuffix('.h5')}"

    def line(self, ranks: int) -> list[str]:
        """Return the command line; surfaces are computed by ``ranks`` ranks, everything else by one process."""
        launcher = ["mpirun", "-n", str(ranks), "--bind-to", "none"] if self.verb == "run" and ranks > 1 else []
        return [*launcher, "lossgrid", self.verb, *self.words, *words({"out": self.out})]

    def text(self, ranks: int) -> str:
        """Return the command as it is typed in the folder of the project."""
        finds = f"PYTHONPATH={HERE.relative_to(PROJECT)} " if f"{OWN_DATA}:" in " ".join(self.words) else ""
        return finds + shlex.join(self.line(ranks)) + (f" > {shlex.quote(str(self.tells))}" if self.tells else "")


def words(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Write options as the command line has them: ``{"lr": 0.1, "label": ["a", "b"]}`` as ``--lr 0.1 --label a ...``.

    True is an option without a value, None no option.
    """
    found: list[str] = []
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                text = [] if one is True else [f"{one:g}" if isinstance(one, float) else str(one)]
                found += [f"--{name.replace('_', '-')}", *text]
    return tuple(found)


def train(folder: Path, *, epochs: int, **options: Any) -> Step:
    """Train a network; what it makes is the last checkpoint, the only one beside that of epoch 0."""
    given = words({**options, "epochs": epochs, "save_every": epochs})
    return Step("train", given, folder, makes=folder / f"epoch_{epochs:04d}.pt")


def run(surface: Path, *, checkpoint: Path, to: Path | None = None, **options: Any) -> Step:
    """Compute a surface around ``checkpoint``, or on the way from there ``to`` another."""
    needs = (checkpoint,) if to is None else (checkpoint, to)
    return Step("run", words({**options, "checkpoint": checkpoint, "to": to}), surface, makes=surface, needs=needs)


def plot(picture: Path, surfaces: Sequence[Labelled], **options: Any) -> Step:
    """Draw surfaces, each with its label, into one picture."""
    files, given = _of(surfaces, overwrite=True, **options)
    return Step("plot", given, picture, makes=picture, needs=files)


def compare(table: Path, surfaces: Sequence[Labelled], *, picture: Path | None = None, **options: Any) -> Step:
    """Write the numbers of surfaces into a JSON file, and draw them on one scale where there is a ``picture``."""
    files, given = _of(surfaces, json=True, overwrite=picture is not None or None, **options)
    return Step("compare", given, picture, makes=table, needs=files, tells=table)


def _of(surfaces: Sequence[Labelled], **options: Any) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the files of surfaces, and the words that name them, their labels and the options."""
    files = tuple(file for _, file in surfaces)
    return files, (*map(str, files), *words({"label": [label for label, _ in surfaces], **options}))


def environment() -> dict[str, str]:
    """Return the environment of the commands: they find ``OWN_DATA``, and lossgrid beside the Python in use."""
    paths = {"PYTHONPATH": HERE, "PATH": Path(sys.executable).parent}
    found = {name: os.pathsep.join(filter(None, (str(path), os.environ.get(name)))) for name, path in paths.items()}
    return LAUNCHER | os.environ | found


def carry_out(steps: Sequence[Step], *, ranks: int) -> None:
    """Do all steps, each in a process of its own; the first that does not succeed ends this one with its exit code."""
    for step in steps:
        print(f"$ {step.text(ranks)}", flush=True)
        step.makes.parent.mkdir(parents=True, exist_ok=True)
        code = _done(step, ranks)
        if code:
            what = "stopped; run the same command again to go on" if code == STOPPED else "failed"
            print(f"lossgrid {step.verb} {what}", file=sys.stderr)
            sys.exit(code if code > 0 else 128 - code)


def _done(step: Step, ranks: int) -> int:
    """Do one step; signals are the step's, which knows how to stop. Ctrl-C reaches it without our help."""
    with ExitStack() as kept:
        told = kept.enter_context(step.tells.open("w")) if step.tells else None
        process = kept.enter_context(subprocess.Popen(step.line(ranks), env=environment(), stdout=told))
        for number in (signal.SIGINT, *PASSED_ON):
            before = signal.signal(number, lambda got, _: process.send_signal(got) if got in PASSED_ON else None)
            kept.callback(signal.signal, number, before)
        return process.wait()


def submit(steps: Sequence[Step], job: Path, finish: Sequence[str], *, folder: Path, dry_run: bool) -> None:
    """Hand the steps that compute to SLURM, each as a job that waits for those it needs, and last ``finish``.

    Args:
        steps: The steps.
        job: That of ``lossgrid job slurm`` or ``slurm-cpu``, with the user's changes. Jobs are copies of it with
            other options, so that they stop in time, go back to the queue and go on like any other.
        finish: The command that draws and judges, which takes one process and no GPU.
        folder: Takes the job files and their logs.
        dry_run: Only print the job files and how they would be submitted.

    Raises:
        SystemExit: ``job`` is no job file, or SLURM does not take a job.
    """
    try:
        template = job.read_text()
    except OSError as error:
        sys.exit(f"--slurm: cannot read {job}: {error.strerror}; lossgrid job slurm prints one; change what is marked")
    texts = {step: job_of(step, template) for step in steps if step.computes}
    numbers: dict[Path, str] = {}  # what is made -> its job
    one_process = ["--nodes=1", "--ntasks-per-node=1"]  # whatever the job file has for surfaces
    for step, text in texts.items():
        options = one_process if step.verb == "train" else []
        needs = [numbers[file] for file in step.needs]
        numbers[step.makes] = _handed(step.name, text, options, needs, folder, dry_run=dry_run)
    changed, _, _ = template.partition(TO_HERE)
    text = f'{changed}{TO_HERE}\nif [ -n "$site" ]; then source "$site" || exit 1; fi\nexec {shlex.join(finish)}\n'
    _handed("finish", text, one_process, list(numbers.values()), folder, dry_run=dry_run)


def job_of(step: Step, template: str) -> str:
    """Return the job file of a step: ``template`` with its options.

    Raises:
        SystemExit: The template is no copy of one of the project's job files.
    """
    options = "options=(\n    " + shlex.join(step.words) + "\n)"
    changes = [(r"^options=\(.*?^\)$", options, 1), (r"^out=\S*", f"out={shlex.quote(str(step.out))}", 1)]
    changes += [(r"^checkpoint=\S*", "checkpoint=", 1)]  # among the options, where the step has one
    if step.verb == "train":  # the command, and by what the job file sees whether ranks of it are left
        changes += [(r"lossgrid run ", "lossgrid train ", 2), (r"^points\(\) .*?$", EPOCHS, 1)]
    for pattern, new, places in changes:
        template, count = re.subn(pattern, new.replace("\\", r"\\"), template, flags=re.MULTILINE | re.DOTALL)
        if count != places:
            sys.exit(f"--slurm: expected a file of lossgrid job slurm; {count} places in it match {pattern}")
    return template


def _handed(name: str, text: str, options: Sequence[str], needs: Sequence[str], folder: Path, *, dry_run: bool) -> str:
    """Write a job file and submit it; return its number, or in a dry run its name.

    Raises:
        SystemExit: SLURM does not take it.
    """
    file = folder / f"{name}.sbatch"
    after = [f"--dependency=afterok:{':'.join(needs)}", "--kill-on-invalid-dep=yes"] if needs else []
    line = ["sbatch", "--parsable", f"--job-name={name}", f"--output={folder}/%x-%j.log", *options, *after, str(file)]
    print(f"$ {shlex.join(line)}", flush=True)
    if dry_run:
        print(text)
        return name
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    try:
        done = subprocess.run(line, env=environment(), check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{file} is not submitted: {getattr(error, 'stderr', '') or error}".strip())
    return done.stdout.strip().partition(";")[0]  # the name of the cluster may follow

"""An experiment from its description to its pictures: the command line, the steps, what came of them."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from claims import Claim, judge
from steps import Step, carry_out, submit

BENCHMARKS = Path(__file__).resolve().parents[1]
sys.path.append(str(BENCHMARKS))
from machine import describe  # noqa: E402

RESULTS = BENCHMARKS / "results"
JOB = BENCHMARKS.parent / "src" / "lossgrid" / "job_files" / "slurm" / "surface.sbatch"
SIZES = ("smoke", "small", "paper")
CIFAR = "cifar10:"
# What experiments call their data, as options of lossgrid; {folder} is where CIFAR-10 lies.
DATA: dict[str, dict[str, Any]] = {
    "digits": {"data": "digits"},
    "cifar10 at 16 x 16": {"data": "pictures:halved", "data_arg": "folder={folder}"},
    "cifar10": {"data": CIFAR + "{folder}"},
}


@dataclass(frozen=True)
class Plan:
    """All there is to do for an experiment.

    Attributes:
        steps: In an order in which they can be done.
        networks: The folder of the training of each network, by label.
        claims: What is to be judged.
    """

    steps: Sequence[Step]
    networks: Mapping[str, Path]
    claims: Sequence[Claim] = field(default_factory=tuple)


def data_options(name: str, given: str | None) -> dict[str, Any]:
    """Return the options of lossgrid for the data of an experiment.

    Args:
        name: One of ``DATA``.
        given: ``cifar10:FOLDER``, which the user has given, or not.

    Raises:
        SystemExit: The data lie in a folder and it is not given.
    """
    options = DATA[name]
    if name == "digits":
        return options
    if given is None or not given.removeprefix(CIFAR):
        sys.exit(f"--data: this size needs CIFAR-10, in a folder of yours: --data {CIFAR}FOLDER")
    return {key: value.format(folder=given.removeprefix(CIFAR)) for key, value in options.items()}


def main(name: str, about: str | None, plan: Callable[[str, Path, str | None], Plan], arguments: Sequence[str]) -> None:
    """Do what the command line says with an experiment.

    Args:
        name: Of the experiment, and its results.
        about: What ``--help`` says.
        plan: Makes the plan of a size, of the folder for all files, and of ``--data``.
        arguments: The command line.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="smoke")
    parser.add_argument("--data", metavar=f"{CIFAR}FOLDER", type=_folder, help="CIFAR-10, for small and paper")
    parser.add_argument("--ranks", type=int, default=2, help="that compute a surface, under mpirun (default 2)")
    parser.add_argument("--out", type=Path, help="folder for all files (default experiments/SIZE)")
    parser.add_argument("--json", type=Path, help=f"the results (default results/experiment_{name}_SIZE.json)")
    parser.add_argument("--gallery", metavar="FOLDER", type=Path, help="copy the pictures there, in 256 colours")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    parser.add_argument("--finish", action="store_true", help="only draw and judge what has been computed")
    parser.add_argument(
        "--slurm",
        metavar="JOB", type=Path, nargs="?", const=JOB,
        help="submit jobs, copies of JOB: that of lossgrid job slurm, with your changes, or without JOB that itself",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    folder = options.out or Path("experiments") / options.size
    results = options.json or RESULTS / f"experiment_{name}_{options.size}.json"
    made = plan(options.size, folder, options.data)
    if options.slurm and not options.finish:  # the last job is this command with --finish
        again = [sys.executable, sys.argv[0], *arguments, "--finish"]
        submit(made.steps, options.slurm, again, folder=folder / "jobs", dry_run=options.dry_run)
        return
    steps = [step for step in made.steps if not (options.finish and step.computes)]
    if options.dry_run:
        print("\n".join(step.text(options.ranks) for step in steps))
        return
    carry_out(steps, ranks=options.ranks)
    outcome = conclude(made) | {
        "experiment": name,
        "size": options.size,
        "commands": [step.text(options.ranks) for step in made.steps],
        "machine": describe(),
    }
    results.write_text(json.dumps(outcome, indent=2) + "\n")
    print(in_words(outcome), f"results: {results}", sep="\n")
    if options.gallery:
        for picture in (step.out for step in made.steps if step.out and not step.computes):
            copy_small(picture, options.gallery / f"{picture.stem}_{options.size}{picture.suffix}")


def _folder(text: str) -> str:
    if not text.startswith(CIFAR):
        raise argparse.ArgumentTypeError(f"expected {CIFAR}FOLDER, got {text!r}")
    return text


def conclude(plan: Plan) -> dict[str, Any]:
    """Return what came of an experiment, as JSON types: the networks, all tables, and the statements."""
    networks = {label: last_epoch(folder) for label, folder in plan.networks.items()}
    tables = {step.tells.stem: records_of(step.tells) for step in plan.steps if step.tells}
    errors = {label: network["test error"] for label, network in networks.items()}
    return {
        "networks": networks,
        "statements": [judge(claim, tables[claim.table.stem], errors) for claim in plan.claims],
        "tables": tables,
    }


def last_epoch(folder: Path) -> dict[str, float]:
    """Return where a training has come to, and how long it took, from its table."""
    with (folder / "epochs.csv").open(newline="") as stream:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]
    last = rows[-1]
    found = {f"{split} loss": last[f"{split}_loss"] for split in ("train", "test")}
    found |= {f"{split} error": round(1 - last[f"{split}_accuracy"], 6) for split in ("train", "test")}
    return {"epochs": last["epoch"], **found, "seconds": round(sum(row["seconds"] for row in rows), 1)}


def records_of(table: Path) -> list[dict[str, Any]]:
    """Read the numbers that ``lossgrid compare --json`` has written; of minima only how many there are."""
    records = json.loads(table.read_text())
    return [{key: value for key, value in record.items() if key != "minima_found"} for record in records]


def copy_small(picture: Path, copy: Path) -> None:
    """Copy a picture in 256 colours, which it hardly needs more of: a third of the size."""
    from PIL import Image  # not needed for anything else

    with Image.open(picture) as full:
        full.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(copy, optimize=True)


def in_words(outcome: Mapping[str, Any]) -> str:
    """Write networks and statements for people."""
    lines = [f"{'':28}{'train loss':>12}{'train error':>12}{'test error':>12}"]
    for label, network in outcome["networks"].items():
        errors = "".join(f"{network[f'{split} error']:>12.2%}" for split in ("train", "test"))
        lines.append(f"{label:28}{network['train loss']:>12.4g}{errors}")
    for found in outcome["statements"]:
        count = f"{found['right']} of {len(found['pairs'])} orders of {found['number']}"
        lines.append(f"held: {found['held']:8}{found['statement']} ({found['table']}: {count})")
    return "\n".join(lines)

"""The paper's experiments: that their commands are right, that a tiny one runs, and how statements are judged."""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from lossgrid import store
from lossgrid.settings import RunConfig, TrainConfig, read_value, resolve
from tests.conftest import ROOT, environment
from tests.system.conftest import running

pytestmark = pytest.mark.beside

SCRIPTS = ("batch_size", "shortcuts")
SIZES = ("smoke", "small", "paper")
FOLDER = ROOT / "benchmarks" / "experiments"
DATA = ("--data", "cifar10:data")
PAIRS = ("data_arg", "model_arg")  # given as K=V


@pytest.fixture
def experiments(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the modules of the experiments as their scripts do, which lie in one folder."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def load(name: str) -> Any:
        return __import__(name)

    return load


def commands(start: Any, script: str, *arguments: str) -> list[list[str]]:
    """Return the commands a script would do, each in words."""
    done = start(0, FOLDER / f"{script}.py", *arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def settings_of(command: list[str]) -> dict[str, Any]:
    """Return the options of a command of ``lossgrid train`` or ``lossgrid run``, as its configuration takes them."""
    words = command[command.index("lossgrid") + 2 :]
    given: dict[str, Any] = {}
    for option, value in zip(words[::2], words[1::2], strict=True):
        assert option.startswith("--")
        key = option.removeprefix("--").replace("-", "_")
        given[key] = dict([value.split("=", 1)]) if key in PAIRS else read_value(value)
    return given


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_is_one_that_lossgrid_takes(start: Any, tmp_path: Path, script: str, size: str) -> None:
    """And each reads only what one before it has made."""
    made = set()
    for command in commands(start, script, "--size", size, *DATA):
        verb = command[command.index("lossgrid") + 1]
        if verb == "train":
            config = resolve(TrainConfig, settings_of(command))
            made.add(str(config.out / f"epoch_{config.epochs:04d}.pt"))
        elif verb == "run":
            config = resolve(RunConfig, settings_of(command))
            assert {str(config.checkpoint), *map(str, config.to)} <= made
            made.add(str(config.out))
        else:
            assert verb in ("plot", "compare")
            files = [word for word in command if word.endswith(".h5")]
            assert files
            assert set(files) <= made
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_the_paper(start: Any) -> None:
    """Li et al. 2018, sections 3 and 5, appendix A."""
    steps = {script: commands(start, script, "--size", "paper", *DATA) for script in SCRIPTS}
    trained = {script: [settings_of(c) for c in own if "train" in c] for script, own in steps.items()}
    for settings in (*trained["batch_size"], *trained["shortcuts"]):
        assert (settings["epochs"], settings["lr"], settings["lr_steps"]) == (300, 0.1, "150,225,275")
        assert (settings["augment"], settings["data"]) == ("crop,flip", "cifar10:data")
    batches = {(s["model"], s["batch_size"], s["weight_decay"]) for s in trained["batch_size"]}
    assert batches == {("vgg9", batch, decay) for batch in (128, 8192) for decay in (0, 5e-4)}
    networks = ("resnet20", "resnet56", "resnet110", "wrn56_2", "wrn56_4", "wrn56_8")
    assert {s["model"] for s in trained["shortcuts"]} == {n + end for n in networks for end in ("", "_noshort")}
    assert {(s["batch_size"], s["weight_decay"]) for s in trained["shortcuts"]} == {(128, 5e-4)}
    surfaces = [settings_of(c) for own in steps.values() for c in own if "run" in c]
    assert {(s["alpha"], s.get("beta")) for s in surfaces} == {
        ("-0.5:1.5:401", None), ("-1:1:401", None), ("-1:1:51", "-1:1:51"), ("-1:1:251", "-1:1:251"),
    }  # fmt: skip
    assert {s["model"] for s in surfaces if s["alpha"] == "-1:1:251"} == {"resnet56", "resnet56_noshort"}
    assert not any("max_samples" in s for s in surfaces)


def test_cifar10_is_never_fetched_but_asked_for(start: Any, tmp_path: Path) -> None:
    done = start(0, FOLDER / "shortcuts.py", "--size", "small")
    assert done.returncode != 0
    assert done.stderr == "--data: this size needs CIFAR-10, in a folder of yours: --data cifar10:FOLDER\n"
    assert list(tmp_path.iterdir()) == []


def test_a_tiny_experiment_from_training_to_pictures(
    experiments: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortcuts, experiment = experiments("shortcuts"), experiments("experiment")
    tiny = dataclasses.replace(
        shortcuts.SIZES["smoke"],
        depths=("resnet20",), solid="resnet20", plane="-1:1:5",
        training={"epochs": 1, "max_samples": 64}, surface={"max_samples": 20},
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)

    def plan(name: str, folder: Path, data: str | None) -> Any:
        return shortcuts.plan(name, folder, data, {"smoke": tiny})

    def carry_out(*arguments: str) -> dict[str, Any]:
        experiment.main("shortcuts", "", plan, ["--out", "here", "--json", "results.json", *arguments])
        found: dict[str, Any] = json.loads(Path("results.json").read_text())
        return found

    found = carry_out("--ranks", "2")
    surfaces = [store.read(Path("here") / f"{model}_plane.h5") for model in ("resnet20", "resnet20_noshort")]
    assert all(surface.complete and surface.provenance["ranks"] == 2 for surface in surfaces)
    for picture in ("figure1", "figure5"):
        assert Path(f"here/{picture}.png").read_bytes().startswith(b"\x89PNG")
    assert list(found["networks"]) == ["resnet20", "resnet20_noshort"]
    assert all(0 <= network["test error"] <= 1 for network in found["networks"].values())
    centres = [surface["train_loss"][2, 2] for surface in surfaces]
    assert [record["centre"] for record in found["tables"]["figure5"]] == pytest.approx(centres, rel=1e-6)
    assert {claim["held"] for claim in found["statements"]} <= {"yes", "in part", "no", "open"}
    assert len(found["commands"]) == 6

    # Started again, it finds all done; of the files alone, the same comes out.
    before = {path: path.stat().st_mtime_ns for path in Path("here").glob("*.h5")}
    assert carry_out("--slurm", "--finish")["statements"] == found["statements"]  # as the last job, which submits none
    assert {path: path.stat().st_mtime_ns for path in Path("here").glob("*.h5")} == before


def test_a_step_that_fails_ends_the_experiment_with_its_exit_code(
    experiments: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = experiments("steps")
    monkeypatch.chdir(tmp_path)
    absent = steps.run(Path("here/surface.h5"), checkpoint=Path("absent.pt"), model="mlp")
    with pytest.raises(SystemExit) as ended:
        steps.carry_out([absent, absent], ranks=1)
    assert ended.value.code == 2
    said = capfd.readouterr()
    assert said.out.count("$ lossgrid run --model mlp --checkpoint absent.pt --out here/surface.h5") == 1
    assert said.err.count("absent.pt") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_signal_is_passed_on(tmp_path: Path, number: int) -> None:
    with running(0, FOLDER / "shortcuts.py", "--out", "here", cwd=tmp_path) as job:
        table = tmp_path / "here" / "resnet20" / "epochs.csv"
        deadline = time.monotonic() + 60
        while not table.exists():
            assert job.poll() is None, job.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        job.send_signal(number)
        _, errors = job.communicate(timeout=30)
    assert job.returncode == 75, errors
    assert errors.splitlines()[-1] == "lossgrid train stopped; run the same command again to go on"
    assert (tmp_path / "here" / "resnet20" / "last.pt").exists()


JOBS = ROOT / "src" / "lossgrid" / "job_files" / "slurm"


@pytest.mark.parametrize("template", ["surface.sbatch", "surface_cpu.sbatch"])
def test_jobs_are_copies_of_the_job_file_and_wait_for_each_other(start: Any, tmp_path: Path, template: str) -> None:
    """A stand-in for sbatch keeps what it is given."""
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/submitted\nwc -l < {tmp_path}/submitted\n')
    fake.chmod(0o755)
    job = tmp_path / "my job.sbatch"
    job.write_text((JOBS / template).read_text().replace("site= ", "site=/my/site.env "))
    script = FOLDER / "batch_size.py"
    done = start(
        0, script, "--size", "paper", *DATA, "--slurm", job, "--out", "here",
        env={"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    submitted = [line.split() for line in (tmp_path / "submitted").read_text().splitlines()]
    names = [next(word for word in line if word.startswith("--job-name="))[11:] for line in submitted]
    numbers = {name: str(number) for number, name in enumerate(names, start=1)}
    assert len(numbers) == len(names) == 4 + 2 + 4 * 11 + 1

    def waits_for(name: str) -> set[str]:
        line = submitted[names.index(name)]
        lists = [word.split(":")[1:] for word in line if word.startswith("--dependency=afterok:")]
        return set(lists[0]) if lists else set()

    trainings = {name: number for name, number in numbers.items() if name.startswith("train-")}
    assert not any(waits_for(name) for name in trainings)
    assert waits_for("run-vgg9_batch128_decay0_plane") == {numbers["train-vgg9_batch128_decay0"]}
    ends = {numbers[f"train-vgg9_batch{batch}_decay0.0005"] for batch in (128, 8192)}
    assert waits_for("run-figure2_decay0.0005") == ends
    assert waits_for("finish") == set(numbers.values()) - {numbers["finish"]}
    for name, line in zip(names, submitted, strict=True):
        assert ("--ntasks-per-node=1" in line) == (name in trainings or name == "finish")
        text = (tmp_path / line[-1]).read_text()
        assert "site=/my/site.env " in text
        assert subprocess.run(["bash", "-n", tmp_path / line[-1]], check=False).returncode == 0
    again = (tmp_path / "here" / "jobs" / "finish.sbatch").read_text().splitlines()[-1]
    assert shlex.split(again)[-1] == "--finish"
    assert shlex.split(again)[2] == str(script)


def test_a_job_has_the_options_of_its_step_and_counts_its_epochs(experiments: Any, tmp_path: Path) -> None:
    steps = experiments("steps")
    template = (JOBS / "surface.sbatch").read_text()
    step = steps.train(tmp_path / "it's", epochs=3, model="mlp", model_arg="hidden=[8, 8]", lr=0.1)
    text = steps.job_of(step, template)
    assert "${start[@]}" in text
    assert '"${start[@]}" lossgrid train "${options[@]}" --out "$out" &' in text
    block = text.partition(steps.TO_HERE)[0]
    points = re.search(r"^points\(\).*$", text, re.MULTILINE)[0]  # type: ignore[index]
    show = f'{block}\n{points}\nprintf "%s\\n" "${{options[@]}}" "$out"; points\n'
    (tmp_path / "it's").mkdir()
    for rows in (0, 3):
        (tmp_path / "it's" / "epochs.csv").write_text("row\n" * rows)
        told = subprocess.run(["bash", "-c", show], text=True, capture_output=True, check=True).stdout.splitlines()
        assert told == [*step.words, str(tmp_path / "it's"), str(rows)]


def test_what_is_no_job_file_is_refused(start: Any, tmp_path: Path) -> None:
    (tmp_path / "other.sbatch").write_text("#!/bin/bash\nsrun hostname\n")
    done = start(0, FOLDER / "shortcuts.py", "--slurm", "other.sbatch")
    assert done.returncode != 0
    assert "expected a file of lossgrid job slurm" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["other.sbatch"]


def record(label: str, value: float | None, *, is_bound: bool = False) -> dict[str, Any]:
    return {"label": label, "size": value, "lower_bounds": ["size"] if is_bound else []}


def test_a_statement_is_judged_by_the_orders_of_its_numbers(experiments: Any) -> None:
    claims = experiments("claims")
    records = [record("a", 3.0), record("b", 2.0), record("c", 2.5), record("d", None)]

    def held(*pairs: tuple[str, str], **options: bool) -> str:
        claim = claims.Claim("a statement", Path("table.json"), "size", pairs, **options)
        verdict: str = claims.judge(claim, records, {"a": 0.3, "b": 0.2, "c": 0.1, "d": 0.1})["held"]
        return verdict

    assert held(("a", "b"), ("c", "b")) == "yes"
    assert held(("a", "b"), ("c", "b"), ("b", "a")) == "in part"
    assert held(("a", "b"), ("b", "a")) == "no"
    assert held(("b", "a"), smaller=True) == "yes"
    assert held(("a", "d")) == held() == "open"
    assert held(("a", "d"), ("b", "a")) == "no"


def test_the_order_of_test_errors_leaves_out_what_may_be_chance(experiments: Any) -> None:
    claims = experiments("claims")
    claim = claims.Claim("a statement", Path("table.json"), "size", by_test_error=True)
    records = [
        record("a", 3.0),
        record("b", 2.0),
        record("c", 1.0),
        record("a", 1.5),
        record("b", 2.0),
        record("c", 1.0),
    ]
    found = claims.judge(claim, records, {"a": 0.2, "b": 0.1, "c": 0.105})
    orders = [(pair["first"], pair["second"], pair["as stated"]) for pair in found["pairs"]]
    assert orders == [("a", "b", True), ("a", "b", False), ("a", "c", True), ("a", "c", True)]
    assert (found["held"], found["right"]) == ("in part", 3)


@pytest.mark.parametrize(
    ("high", "low", "expected"),
    [((2.0, False), (1.0, True), None), ((2.0, True), (1.0, False), True), ((1.0, True), (2.0, False), None),
     ((1.0, False), (2.0, True), False), ((1.0, False), (1.0, False), False)],
)  # fmt: skip
def test_lower_bounds_decide_what_they_can(
    experiments: Any, high: tuple[float, bool], low: tuple[float, bool], expected: bool | None
) -> None:
    claims = experiments("claims")
    records = [record("a", high[0], is_bound=high[1]), record("b", low[0], is_bound=low[1])]
    for first, second, smaller in (("a", "b", False), ("b", "a", True)):
        claim = claims.Claim("a statement", Path("t.json"), "size", ((first, second),), smaller=smaller)
        assert claims.judge(claim, records, {})["pairs"][0]["as stated"] is expected

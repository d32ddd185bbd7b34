"""An experiment handed to a real SLURM: its jobs follow each other, and the last one draws."""

import json
import time
from pathlib import Path

from lossgrid import store
from tests.conftest import ROOT
from tests.slurm.conftest import JOBS, Cluster, change

TINY = f"""
import dataclasses, sys
sys.path.insert(0, {str(ROOT / "benchmarks" / "experiments")!r})
import experiment, shortcuts
tiny = dataclasses.replace(
    shortcuts.SIZES["smoke"], depths=("resnet20",), solid="resnet20", plane="-1:1:5",
    training={{"epochs": 2, "max_samples": 64}}, surface={{"max_samples": 20}},
)
experiment.main("shortcuts", "", lambda *given: shortcuts.plan(*given, {{"smoke": tiny}}), sys.argv[1:])
"""


def test_the_jobs_of_an_experiment_follow_each_other_and_submit_no_more(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "tiny.py"
    script.write_text(TINY)
    sizes = {"nodes": "2", "ntasks-per-node": "2", "time": "00:05:00", "signal": "B:USR1@60"}
    job = change(JOBS / "surface_cpu.sbatch", tmp_path / "job.sbatch", sbatch=sizes)
    said = cluster.run("python", script, "--out", "here", "--json", "results.json", "--slurm", job, cwd=tmp_path)
    assert said.count("$ sbatch") == 5
    deadline = time.monotonic() + 180
    while cluster.run("squeue", "--noheader"):
        assert time.monotonic() < deadline, cluster.run("squeue")
        time.sleep(0.5)
    logs = {path.name: path.read_text() for path in (tmp_path / "here" / "jobs").glob("*.log")}
    assert len(logs) == 5, logs
    assert (tmp_path / "results.json").exists(), logs
    found = json.loads((tmp_path / "results.json").read_text())
    assert list(found["networks"]) == ["resnet20", "resnet20_noshort"]
    for model in found["networks"]:
        surface = store.read(tmp_path / "here" / f"{model}_plane.h5")
        assert surface.complete
        assert surface.provenance["ranks"] == 4
    assert (tmp_path / "here" / "figure5.png").read_bytes().startswith(b"\x89PNG")

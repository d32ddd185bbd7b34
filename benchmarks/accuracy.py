"""The error of a surface against float64, at every point of 25 x 25, and its maximum.

    python benchmarks/accuracy.py [--cases digits,resnet20,...] [--samples 200] [--points 25] [--json FILE]

The reference is slow and obvious: at every point it moves each tensor separately, in float64, and calls the user's
module, not rewritten. lossgrid computes the same points with default settings, in float32 and bfloat16. The exit code
is 1 if the relative error in float32 exceeds 1e-5 at any point.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cases
import numpy as np
import torch
from machine import describe
from point import choose
from torch.nn import functional as F

import lossgrid

RESULT = Path(__file__).with_name("results") / "accuracy.json"
TARGET = 1e-5  # of the loss, in float32
BATCH = 100


def reference(case: cases.Case, coordinates: np.ndarray) -> np.ndarray:
    """Return the mean cross-entropy at every point, ``(beta, alpha)``, float64."""
    model = case.network().double()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batches = list(zip(case.inputs().double().split(BATCH), case.labels.split(BATCH), strict=True))
    losses = np.empty((len(coordinates), len(coordinates)))
    for j, beta in enumerate(coordinates):
        for i, alpha in enumerate(coordinates):
            moved = {name: start[name] + alpha * case.delta[name] + beta * case.eta[name] for name in case.delta}
            model.load_state_dict(start | moved)
            with torch.no_grad():
                total = sum(F.cross_entropy(model(x), y, reduction="sum") for x, y in batches)
            losses[j, i] = float(total) / len(case.labels)
    return losses


def measure(name: str, samples: int, points: int) -> dict[str, Any]:
    """Compute the surface of the case ``name`` in all ways; return the worst differences, as JSON types."""
    with tempfile.TemporaryDirectory() as folder:
        case = cases.make(name, Path(folder))
    case = replace(case, pixels=case.pixels[:samples], labels=case.labels[:samples])
    axis = (-1.0, 1.0, points)
    coordinates = np.linspace(*axis)
    expected = reference(case, coordinates)
    found = {}
    for precision in ("float32", "bfloat16"):
        surface = lossgrid.evaluate(
            case.network(), (case.inputs(), case.labels), alpha=axis, beta=axis,
            directions=[case.delta, case.eta], precision=precision, device="cpu",
        )  # fmt: skip
        differences = np.abs(surface["train_loss"] - expected) / np.abs(expected)
        j, i = np.unravel_index(np.argmax(differences), differences.shape)
        found[precision] = {
            "worst": float(differences[j, i]),
            "at": [float(coordinates[i]), float(coordinates[j])],
            "loss there": float(expected[j, i]),
            "median": float(np.median(differences)),
            "recipe": surface.provenance["recipe"],
        }
    about = f"{case.about}, of which {len(case.labels)}"
    return {
        "case": name,
        "about": about,
        "points": points**2,
        "losses": [expected.min(), expected.max()],
        "found": found,
    }


def main() -> None:
    """Measure all cases, print the worst points and write everything down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=lambda text: choose(text, list(cases.RECIPES)), default=list(cases.RECIPES))
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--points", type=int, default=25)
    parser.add_argument("--json", type=Path, default=RESULT)
    options = parser.parse_args()
    results = []
    for name in options.cases:
        result = measure(name, options.samples, options.points)
        results.append(result)
        low, high = result["losses"]
        print(f"{name}: {result['about']}; {result['points']} points, losses {low:.4g} to {high:.4g}")
        for precision, own in result["found"].items():
            alpha, beta = own["at"]
            print(
                f"  {precision:9} worst {own['worst']:.1e} at alpha {alpha:.3g}, beta {beta:.3g}, where the loss is "
                f"{own['loss there']:.4g}; median {own['median']:.1e}; {own['recipe']['variant']}",
                flush=True,
            )
    options.json.write_text(json.dumps({"results": results, "machine": describe()}, indent=2) + "\n")
    sys.exit(0 if all(result["found"]["float32"]["worst"] <= TARGET for result in results) else 1)


if __name__ == "__main__":
    main()

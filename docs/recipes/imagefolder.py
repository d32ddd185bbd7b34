"""Pictures in folders, from the command line: one folder for each class.

    python imagefolder.py --out FOLDER

Makes pictures of discs and rings as FOLDER/pictures/train/disc/00.png and so on. Then it trains a network and computes
its surface by commands, which it prints. The network is the function `network` of this file.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import lossgrid

CLASSES = ("disc", "ring")


def network(in_channels=3, num_classes=2):
    """Return the network; lossgrid gives the number of channels and of classes of the data."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, num_classes),
    )  # fmt: skip


def draw(folder):
    """Write 40 pictures of 32 x 32 pixels for each class."""
    chance = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    for name in CLASSES:
        (folder / "train" / name).mkdir(parents=True, exist_ok=True)
        for i in range(40):
            distance = np.hypot(rows - chance.integers(11, 21), columns - chance.integers(11, 21))
            inside = (distance < 9) & ((name == "disc") | (distance > 6))
            colour = np.where(inside[..., None], chance.integers(120, 256, 3), chance.integers(0, 120, 3))
            noise = chance.normal(0, 20, colour.shape)
            picture = Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8))
            picture.save(folder / "train" / name / f"{i:02d}.png")


def lossgrid_does(*words):
    """Print a command and run it, in the folder of this file, where lossgrid finds the network."""
    command = [str(word) for word in words]
    print("lossgrid", shlex.join(command))
    subprocess.run([sys.executable, "-m", "lossgrid", *command], check=True, cwd=Path(__file__).parent)


def main():
    """Draw pictures, train, compute the surface, and compare its centre with the loss of torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of all that is made")
    out = parser.parse_args().out.resolve()
    draw(out / "pictures")

    common = ["--model", "imagefolder:network", "--data", f"images:{out / 'pictures'}", "--data-arg", "resize=16"]
    lossgrid_does("train", *common, "--splits", "train", "--epochs", 10, "--batch-size", 16, "--out", out / "training")
    checkpoint, file = out / "training" / "epoch_0010.pt", out / "imagefolder.h5"
    grid = ["--alpha=-1:1:21", "--beta=-1:1:21"]
    lossgrid_does("run", *common, "--checkpoint", checkpoint, *grid, "--out", file)
    picture = ["--kind", "contourf", "--label", "discs and rings", "--out", out / "imagefolder.png", "--overwrite"]
    lossgrid_does("plot", file, *picture)

    # By hand: classes are numbered by the names of their folders, pixels are 0 to 1.
    trained = network()
    trained.load_state_dict(torch.load(checkpoint)["state_dict"])
    files = sorted((out / "pictures" / "train").glob("*/*.png"))
    pixels = [np.asarray(Image.open(file).resize((16, 16), Image.Resampling.BILINEAR)) for file in files]
    inputs = torch.tensor(np.stack(pixels)).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        outputs = trained.eval()(inputs)
    by_hand = F.cross_entropy(outputs, torch.tensor([CLASSES.index(file.parent.name) for file in files])).item()
    centre = float(lossgrid.open(file)["train_loss"][10, 10])
    assert abs(centre - by_hand) < 1e-5 * by_hand
    print(f"loss at the centre: {centre:.6f}, by torch: {by_hand:.6f}")


if __name__ == "__main__":
    main()

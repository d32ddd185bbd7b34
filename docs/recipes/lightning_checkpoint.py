"""A checkpoint of Lightning: the weights of a module inside the LightningModule.

    python lightning_checkpoint.py --out FOLDER

In a `.ckpt` file of Lightning the weights are the entry `state_dict`, and their names begin with the attribute of the
LightningModule, here `model.`; beside them are hyperparameters and the state of the optimiser. lossgrid reads the file
as it is. Without Lightning this script writes a file of the same form.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import lossgrid

try:
    import lightning
except ImportError:
    lightning = None


def network():
    """Return the network alone, as the LightningModule holds it."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def digits(split):
    """Return every fourth digit for testing, the others for training."""
    bunch = load_digits()
    chosen = (np.arange(len(bunch.target)) % 4 == 3) == (split == "test")
    return torch.tensor(bunch.images[chosen] / 16, dtype=torch.float32), torch.tensor(bunch.target[chosen])


def train_by_lightning(path):
    """Train with Lightning and save its checkpoint."""

    class Classifier(lightning.LightningModule):
        def __init__(self, lr=0.01):  # noqa: ARG002
            super().__init__()
            self.save_hyperparameters()
            self.model = network()

        def training_step(self, batch, _):
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)

    trainer = lightning.Trainer(
        max_epochs=10, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Classifier(), DataLoader(TensorDataset(*digits("train")), batch_size=64, shuffle=True))
    trainer.save_checkpoint(path)


def train_by_hand(path):
    """Train without Lightning and save a checkpoint of the same form."""
    model, (inputs, targets) = network(), digits("train")
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"epoch": 100, "state_dict": state, "hyper_parameters": {"lr": 0.01}}, path)


def main():
    """Train, compute the surface of the checkpoint by a command, and compare its centre with the loss of torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of all that is made")
    out = parser.parse_args().out.resolve()

    torch.manual_seed(0)
    checkpoint, file = out / "last.ckpt", out / "lightning_checkpoint.h5"
    train_by_hand(checkpoint) if lightning is None else train_by_lightning(checkpoint)
    command = [
        "run", "--model", "lightning_checkpoint:network", "--checkpoint", checkpoint,
        "--data", "lightning_checkpoint:digits", "--splits", "train,test",
        "--alpha=-1:1:17", "--beta=-1:1:17", "--out", file,
    ]  # fmt: skip
    # In the folder of this file, where lossgrid finds its functions.
    subprocess.run([sys.executable, "-m", "lossgrid", *command], check=True, cwd=Path(__file__).parent)
    surface = lossgrid.open(file)
    surface.plot(kind="contourf", title="a checkpoint of Lightning").savefig(out / "lightning_checkpoint.png", dpi=120)

    state = torch.load(checkpoint)["state_dict"]
    print(f"names in the checkpoint: {', '.join(state)}")
    model = network()
    model.load_state_dict({name.removeprefix("model."): value for name, value in state.items()})
    for split in ("train", "test"):
        inputs, targets = digits(split)
        with torch.no_grad():
            by_hand = F.cross_entropy(model(inputs), targets).item()
        centre = float(surface[f"{split}_loss"][8, 8])
        assert abs(centre - by_hand) < 1e-5 * by_hand
        print(f"{split} loss at the centre: {centre:.6f}, by torch: {by_hand:.6f}")


if __name__ == "__main__":
    main()

"""A language model of Hugging Face: its own loss, lines of unequal length, labels -100.

    python language_model.py --out FOLDER

A small GPT-2, built from a configuration, learns the characters of this file, line by line. Nothing is downloaded. The
loss is the one that the model returns: the mean over all tokens whose label is not -100. It belongs to a batch, so the
function `step` returns it as a pair: the sum of the losses, and the number of tokens that count.
"""

import argparse
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel

import lossgrid

IGNORED = -100


def padded(samples):
    """Return the batch of some lines, padded to the longest of them; padding does not count."""
    return {
        "input_ids": pad_sequence([ids for ids, _ in samples], batch_first=True),
        "labels": pad_sequence([labels for _, labels in samples], batch_first=True, padding_value=IGNORED),
        "attention_mask": pad_sequence([torch.ones_like(ids) for ids, _ in samples], batch_first=True),
    }


def counted(batch):
    """Return how many tokens of a batch have a loss: the first of a line is never predicted."""
    return (batch["labels"][:, 1:] != IGNORED).sum()


def step(model, batch):
    """Return the sum of the losses of a batch, and the number of tokens that count."""
    tokens = counted(batch)
    return {"loss": (model(**batch).loss * tokens, tokens)}


def main():
    """Train, compute the surface, and compare its centre with the loss of all lines in one batch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    torch.manual_seed(0)
    lines = [f"{line}\n" for line in Path(__file__).read_text().splitlines() if line]
    number = {letter: i for i, letter in enumerate(sorted(set("".join(lines))))}
    samples = []
    for line in lines:
        ids = torch.tensor([number[letter] for letter in line])
        blanks = len(line) - len(line.lstrip(" "))  # these are not asked
        samples.append((ids, torch.where(torch.arange(len(ids)) < blanks, IGNORED, ids)))
    loader = DataLoader(samples, batch_size=8, collate_fn=padded)

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(number), n_positions=128, n_embd=32, n_layer=2, n_head=4,
            bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(20):
        for batch in loader:
            optimiser.zero_grad()
            model(**batch).loss.backward()
            optimiser.step()

    surface = lossgrid.evaluate(model, {"train": loader}, step=step, alpha="-1:1:13", beta="-1:1:13")
    surface.plot(kind="contourf", title="a small GPT-2").savefig(out / "language_model.png", dpi=120)

    whole = padded(samples)
    with torch.no_grad():
        own = model.eval()(**whole).loss.item()
    centre = float(surface["train_loss"][6, 6])
    assert abs(centre - own) < 1e-6 * own
    print(f"lines: {len(lines)} of {min(map(len, lines))} to {max(map(len, lines))} characters")
    print(f"tokens that count: {int(counted(whole))}")
    print(f"loss at the centre: {centre:.6f}, by the model: {own:.6f}")


if __name__ == "__main__":
    main()

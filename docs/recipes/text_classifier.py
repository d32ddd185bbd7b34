"""A text classifier of Hugging Face: batches with a mask, outputs with `.logits`.

    python text_classifier.py --out FOLDER

A small BERT, built from a configuration, learns whether a sentence praises or blames. Nothing is downloaded; yours is
AutoModelForSequenceClassification.from_pretrained(...) with the inputs of its tokenizer. lossgrid calls
model(**inputs) and takes the `.logits` of what it returns.
"""

import argparse
import itertools
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification

import lossgrid

PRAISE = ["fine", "moving", "clever", "bright", "warm", "honest"]
BLAME = ["dull", "tired", "noisy", "cold", "clumsy", "empty"]
OPENINGS = ["the film was", "a story that is", "we found the play", "all agreed that the cast was"]
LINKS = ["and", "but never", "and not at all"]


def sentences():
    """Return sentences and their classes; what follows a negation is of the other kind."""
    found = []
    for opening, link in itertools.product(OPENINGS, LINKS):
        for label, (own, other) in enumerate([(BLAME, PRAISE), (PRAISE, BLAME)]):
            second = own if link == "and" else other
            pairs = itertools.product(own, second)
            found += [(f"{opening} {one} {link} {two}".split(), label) for one, two in pairs if one != two]
    return found


def main():
    """Train, compute the surface, and compare its centre with the model's own loss."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    torch.manual_seed(0)
    texts, classes = zip(*sentences(), strict=True)
    number = {word: i for i, word in enumerate(sorted(set(itertools.chain(*texts))), start=1)}  # 0 is padding
    longest = max(map(len, texts))
    ids = torch.tensor([[number[word] for word in text] + [0] * (longest - len(text)) for text in texts])
    inputs, labels = {"input_ids": ids, "attention_mask": (ids != 0).long()}, torch.tensor(classes)

    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(number) + 1, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=longest, num_labels=2,
        )
    )  # fmt: skip
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.003)
    for _ in range(4):
        for some in torch.randperm(len(labels)).split(64):
            optimiser.zero_grad()
            model(**{name: part[some] for name, part in inputs.items()}, labels=labels[some]).loss.backward()
            optimiser.step()

    surface = lossgrid.evaluate(model, (inputs, labels), alpha="-2:2:15", beta="-2:2:15")
    surface.plot(kind="contourf", title="a small BERT").savefig(out / "text_classifier.png", dpi=120)

    with torch.no_grad():
        output = model.eval()(**inputs, labels=labels)
    right = (output.logits.argmax(1) == labels).double().mean().item()
    centre = float(surface["train_loss"][7, 7]), float(surface["train_accuracy"][7, 7])
    assert abs(centre[0] - output.loss.item()) < 1e-5 * output.loss.item()
    assert abs(centre[1] - right) < 1e-6
    print(f"loss at the centre: {centre[0]:.6f}, by the model: {output.loss.item():.6f}")
    print(f"accuracy at the centre: {centre[1]:.4f}, by torch: {right:.4f}")


if __name__ == "__main__":
    main()

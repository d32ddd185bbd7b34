"""A physics-informed network for u'' = -u: a loss with derivatives by the inputs.

    python pinn.py --out FOLDER

The network solves u'' = -u on [0, pi] with u(0) = 0 and u'(0) = 1; the solution is sin x. Both conditions are built
into the network. The loss is the mean of (u'' + u)^2 over points. `needs_grad` on the function `step` says that it
takes derivatives.
"""

import argparse
from math import pi
from pathlib import Path

import torch
from torch import nn

import lossgrid


class Solution(nn.Module):
    """u(x) = x + x^2 N(x), with a small network N."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        """Return u at x, (n, 1)."""
        return x + x**2 * self.inner(x)


def residual(model, x):
    """Return u'' + u at each x, (n, 1)."""
    x = x.detach().requires_grad_(True)
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    return curvature + u


def step(model, batch):
    """Return the squared residual of each point of a batch."""
    return {"loss": residual(model, batch["x"]).squeeze(1).square()}


step.needs_grad = True


def main():
    """Solve, compute the surface, and compare its centre with the residual computed by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    torch.manual_seed(0)
    x = torch.linspace(0, pi, 101, dtype=torch.float64)[:, None]
    model = Solution().double()
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = residual(model, x).square().mean()
        loss.backward()
        return loss

    optimiser.step(closure)

    surface = lossgrid.evaluate(
        model, {"train": {"x": x}}, step=step, precision="float64", alpha="-0.2:0.2:21", beta="-0.2:0.2:21"
    )
    surface.plot(kind="contourf", title="residual of u'' = -u").savefig(out / "pinn.png", dpi=120)

    by_hand = residual(model, x).square().mean().item()
    centre = float(surface["train_loss"][10, 10])
    assert abs(centre - by_hand) < 1e-9 * by_hand
    with torch.no_grad():
        error = (model(x) - x.sin()).abs().max().item()
    print(f"loss at the centre: {centre:.6e}, by torch: {by_hand:.6e}")
    print(f"largest difference from sin x: {error:.1e}")


if __name__ == "__main__":
    main()

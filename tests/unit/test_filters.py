"""What a filter is in each kind of layer, and what a surface does not depend on once filters are normalised."""

import copy
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid import directions, models

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LAYERS = {
    "linear": (nn.Linear(5, 4), (5,)),
    "conv1d": (nn.Conv1d(3, 4, 3), (3, 7)),
    "conv2d": (nn.Conv2d(3, 4, 3), (3, 7, 7)),
    "conv3d": (nn.Conv3d(2, 3, 2), (2, 4, 4, 4)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (4, 5, 5)),
    "transposed1d": (nn.ConvTranspose1d(3, 4, 3), (3, 5)),
    "transposed2d": (nn.ConvTranspose2d(3, 4, 3, stride=2), (3, 5, 5)),
    "transposed3d": (nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3)),
    "transposed grouped": (nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5)),
    "transposed depthwise": (nn.ConvTranspose2d(4, 8, 3, groups=4), (4, 5, 5)),
}


def filter_normalised(model: nn.Module) -> directions.Entries:
    theta = directions.parameters(model)
    drawn = directions.gaussian(theta, seed=1, axis=0)
    return directions.normalise(drawn, theta, "filter", filters=directions.filters_of(model))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_filter_is_all_that_leads_to_one_output(kind: str) -> None:
    """Which weights these are is asked of the layer itself: those on which the output depends."""
    layer, shape = LAYERS[kind]
    direction = filter_normalised(layer)["weight"]
    weight = layer.weight.detach().double()
    covered = torch.zeros(weight.shape, dtype=torch.int64)
    for channel in range(layer(torch.ones(1, *shape)).shape[1]):
        layer.zero_grad()
        layer(torch.ones(1, *shape))[:, channel].sum().backward()
        leads_there = layer.weight.grad != 0
        covered += leads_there
        assert float(direction[leads_there].norm()) == pytest.approx(float(weight[leads_there].norm()), rel=1e-7)
    assert (covered == 1).all()  # every weight belongs to one filter


def test_filters_of_embeddings_are_the_vectors_of_tokens() -> None:
    embedding = nn.Embedding(6, 4, padding_idx=2)
    direction = filter_normalised(embedding)["weight"]
    np.testing.assert_allclose(direction.norm(dim=1), embedding.weight.detach().norm(dim=1), rtol=1e-6)
    assert (direction[2] == 0).all()


@pytest.mark.parametrize("own_sizes", [False, True])
def test_filters_of_attention_are_the_rows_of_its_projections(own_sizes: bool) -> None:
    attention = nn.MultiheadAttention(6, 2, **({"kdim": 5, "vdim": 3} if own_sizes else {}))
    direction = filter_normalised(attention)
    projections = {"q_proj_weight", "k_proj_weight", "v_proj_weight"} if own_sizes else {"in_proj_weight"}
    assert set(direction) == projections | {"out_proj.weight"}
    for name, d in direction.items():
        np.testing.assert_allclose(
            d.norm(dim=1), dict(attention.named_parameters())[name].detach().norm(dim=1), rtol=1e-6
        )


def test_filters_of_recurrent_layers_are_the_rows_of_their_gates() -> None:
    lstm = nn.LSTM(3, 4)
    direction = filter_normalised(lstm)
    assert {name: tuple(d.shape) for name, d in direction.items()} == {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4)}
    np.testing.assert_allclose(direction["weight_ih_l0"].norm(dim=1), lstm.weight_ih_l0.detach().norm(dim=1), rtol=1e-6)


def test_transposed_convolutions_are_found_wherever_they_are() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ConvTranspose2d(2, 4, 3, groups=2)))
    assert directions.filters_of(model) == {"1.0.weight": directions.Filter((2, 1, 2, 3, 3), (1, 3, 4))}
    alone = nn.ConvTranspose1d(2, 3, 1)
    assert directions.filters_of(alone) == {"weight": directions.Filter((1, 2, 3, 1), (1, 3))}


# Networks that compute the same function with weights of other lengths. Each function returns such a twin.


def settled(model: nn.Module) -> nn.Module:
    """Give a new network what training brings: statistics that are not the defaults, and scores that are sure."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    last.weight.detach().mul_(10)
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.detach().uniform_(0.5, 1.5)
            module.bias.detach().normal_(std=0.3)
    return model.double().eval()


def factors(count: int) -> torch.Tensor:
    """Return factors from 1/5 to 5, in no order."""
    return 5 ** (2 * torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count)) - 1)


def scale_outputs(layer: nn.Module, factor: torch.Tensor) -> None:
    """Multiply each output of a layer by its factor, through weights and bias."""
    weight = layer.weight.detach()
    if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
        per_group = layer.groups, weight.shape[0] // layer.groups, *weight.shape[1:]
        shape = (layer.groups, 1, weight.shape[1], *[1] * (weight.ndim - 2))
        weight.view(per_group).mul_(factor.view(shape))
    else:
        weight.mul_(factor.view(-1, *[1] * (weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.detach().mul_(factor)


@torch.no_grad()
def rescaled_under_normalisation(model: nn.Module) -> nn.Module:
    """Give each filter that batch normalisation follows a factor of its own, which its statistics take out again."""
    twin = copy.deepcopy(model)
    layers = [module for module in twin.modules() if not list(module.children())]
    found = 0
    for layer, norm in itertools.pairwise(layers):
        if isinstance(norm, BATCH_NORMS):
            factor = factors(norm.num_features)
            scale_outputs(layer, factor)
            norm.running_mean.mul_(factor)
            norm.running_var.copy_(factor**2 * (norm.running_var + norm.eps) - norm.eps)
            found += 1
    assert found
    return twin


@torch.no_grad()
def rescaled_layer_by_layer(model: nn.Module) -> nn.Module:
    """Multiply each layer but the last by a factor, undone in the next one."""
    twin = copy.deepcopy(model)
    total = 1.0
    for layer, own in zip(twin.layers, (7.0, 0.1, 1 / 0.7), strict=True):
        total *= own
        layer.weight.mul_(own)
        layer.bias.mul_(total)
    assert total == pytest.approx(1)
    return twin


@torch.no_grad()
def rescaled_neuron_by_neuron(model: nn.Module) -> nn.Module:
    """Multiply each neuron by a factor of its own, undone in the columns of the next layer."""
    twin = copy.deepcopy(model)
    for layer, after in itertools.pairwise(twin.layers):
        factor = factors(layer.out_features)
        scale_outputs(layer, factor)
        after.weight.div_(factor)
    return twin


class Reader(nn.Module):
    """Tokens, layer normalisation, attention, a linear layer: a transformer at its smallest."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8, eps=1e-14)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.linear = nn.Linear(8, 10)
        nn.init.normal_(self.attention.in_proj_bias)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.embedding(tokens))
        mixed, _ = self.attention(x, x, x, need_weights=False)
        return self.linear(F.relu(x + mixed).mean(dim=1))


@torch.no_grad()
def rescaled_tokens(model: nn.Module) -> nn.Module:
    """Multiply the vector of each token by a factor of its own, which layer normalisation takes out again."""
    twin = copy.deepcopy(model)
    twin.embedding.weight.mul_(factors(11)[:, None])
    return twin


@torch.no_grad()
def rescaled_attention(model: nn.Module) -> nn.Module:
    """Multiply each number of the queries, undone in the keys, and all values, undone in the output projection."""
    twin = copy.deepcopy(model)
    own = torch.cat([factors(8), 1 / factors(8), torch.full((8,), 3.0, dtype=torch.float64)])
    twin.attention.in_proj_weight.mul_(own[:, None])
    twin.attention.in_proj_bias.mul_(own)
    twin.attention.out_proj.weight.div_(3)
    return twin


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(24, 1, 8, 8, generator=generator, dtype=torch.float64), torch.arange(24) % 10


def sentences() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return torch.randint(0, 11, (24, 5), generator=generator), torch.arange(24) % 10


def surface(model: nn.Module, norm: str, data: object, precision: str = "float64") -> np.ndarray:
    computed = lossgrid.evaluate(
        model, data, alpha="-0.6:0.6:4", beta="-0.4:0.4:3", norm=norm, precision=precision, variant="plain", seed=3
    )
    return computed["train_loss"]


def built(kind: str) -> nn.Module:
    torch.manual_seed(0)
    digits = {"in_channels": 1, "in_features": 64, "num_classes": 10}
    made: dict[str, Callable[[], nn.Module]] = {
        "mlp": lambda: models.build("mlp", {"hidden": [12, 9]}, facts=digits),
        "reader": Reader,
        "grouped": lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10),
        ),
        "transposed": lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(),
            nn.ConvTranspose2d(4, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(),
            nn.ConvTranspose2d(6, 4, 2, groups=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
        ),
        "linear": lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10)
        ),
    }  # fmt: skip
    return settled(made[kind]() if kind in made else models.build(kind, {}, facts=digits))


NORMALISED = ["linear", "grouped", "transposed", "vgg9", "resnet20", "resnet20_noshort"]
SAME = [(kind, rescaled_under_normalisation) for kind in NORMALISED] + [
    ("mlp", rescaled_layer_by_layer),
    ("reader", rescaled_tokens),
    ("reader", rescaled_attention),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rescale"), SAME, ids=lambda part: getattr(part, "__name__", part))
def test_with_filter_normalisation_the_surface_is_that_of_the_function(
    kind: str, rescale: Callable[[nn.Module], nn.Module]
) -> None:
    model = built(kind)
    twin, data = rescale(model), sentences() if kind == "reader" else pictures()
    with torch.no_grad():
        np.testing.assert_allclose(twin(data[0]), model(data[0]), rtol=1e-8, atol=1e-9)  # the same function
    found, expected = surface(twin, "filter", data), surface(model, "filter", data)
    assert np.ptp(expected) > 0.05 * expected.mean()  # there is something to see
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert difference(twin, model, "none", data) > 0.1


def difference(twin: nn.Module, model: nn.Module, norm: str, data: object) -> float:
    """Return the largest relative difference between two surfaces."""
    return float(np.abs(surface(twin, norm, data) / surface(model, norm, data) - 1).max())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resnet20", "vgg9"])
def test_in_float32_it_is_so_to_five_digits_too(kind: str) -> None:
    model = built(kind)
    found, expected = (
        surface(network, "filter", pictures(), "float32") for network in (rescaled_under_normalisation(model), model)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_normalising_by_layers_takes_out_factors_of_layers_only() -> None:
    mlp, convolutions = built("mlp"), built("grouped")
    assert difference(rescaled_layer_by_layer(mlp), mlp, "layer", pictures()) < 1e-5
    assert difference(rescaled_under_normalisation(convolutions), convolutions, "layer", pictures()) > 0.1


def test_without_normalisation_layers_factors_of_single_neurons_stay_visible() -> None:
    """The limit that docs/directions.md states: the columns of the next layer belong to several of its filters."""
    mlp = built("mlp")
    twin = rescaled_neuron_by_neuron(mlp)
    with torch.no_grad():
        np.testing.assert_allclose(twin(pictures()[0]), mlp(pictures()[0]), rtol=1e-8, atol=1e-9)
    assert difference(twin, mlp, "filter", pictures()) > 1e-3


def test_slices_along_dimension_0_would_not_do_for_transposed_convolutions() -> None:
    """Why their filters are taken by output channels, unlike in the reference tool."""
    model = built("transposed")
    losses = []
    for network in (model, rescaled_under_normalisation(model)):
        theta = directions.parameters(network)
        delta = directions.normalise(directions.gaussian(theta, seed=2, axis=0), theta, "filter")
        line = lossgrid.evaluate(
            network, pictures(), alpha="-0.6:0.6:4", directions=[delta], precision="float64", variant="plain"
        )
        losses.append(line["train_loss"])
    assert np.abs(losses[1] / losses[0] - 1).max() > 1e-2

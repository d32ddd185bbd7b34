"""A surface computed from Python: of a network and data in a notebook or a script."""

from __future__ import annotations

import builtins
import json
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lossgrid import parallel, store
from lossgrid.api.live import live_figure
from lossgrid.api.surface import Surface
from lossgrid.api.words import in_python
from lossgrid.directions import Directions, Network
from lossgrid.errors import InputError
from lossgrid.parallel import World
from lossgrid.run import Budget, Given, run
from lossgrid.settings import RunConfig, resolve
from lossgrid.surface import Axis

Range = str | tuple[float, float, int] | Axis


@in_python()
def evaluate(
    model: torch.nn.Module,
    data: Any,
    *,
    alpha: Range = "-1:1:21",
    beta: Range | None = None,
    tolerance: float | None = None,
    tolerance_of: str = "colours",
    samples: int | None = None,
    directions: Directions = "random",
    to: Network | Sequence[Network] = (),
    norm: str = "filter",
    perturb_bias_and_norm: bool = False,
    move: str | Sequence[str] = (),
    freeze: str | Sequence[str] = (),
    trainable_only: bool = False,
    seed: int = 0,
    loss: str | Callable[..., Any] = "cross_entropy",
    loss_args: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | Mapping[str, Any] = (),
    step: str | Callable[..., Any] | None = None,
    max_samples: int | None = None,
    collate_fn: Callable[..., Any] | None = None,
    batch_size: int | str = "auto",
    device: str = "auto",
    precision: str = "float32",
    variant: str = "auto",
    cuda_graphs: str = "auto",
    max_rounding: float = 0.05,
    out: str | Path | None = None,
    label: str | None = None,
    overwrite: bool = False,
    time_limit: float | None = None,
    progress: bool | None = None,
    live: bool | Mapping[str, Any] = False,
) -> Surface:
    """Compute the loss surface of ``model``, L(theta* + alpha delta + beta eta), as ``lossgrid run`` does.

    In a script under mpirun or srun, all ranks must call it with equal arguments. They share the points, and each gets
    the surface.

    Ctrl-C, or the stop button of a notebook, ends it after the current point and raises KeyboardInterrupt. With ``out``
    the points are stored, and the same call resumes them. Without it nothing is returned or stored. A second Ctrl-C
    does not wait for the point.

    Args:
        model: The trained network; it is copied and never changed.
        data: ``(inputs, targets)`` as tensors or arrays, a dict of tensors with a key such as ``labels``, a ``Dataset``
            of such samples, a ``DataLoader`` in fixed order, or an iterable; docs/data.md has all forms. Or a dict of
            these by split: ``{"train": ..., "test": ...}``. Inputs may be a dict of tensors, for ``model(**inputs)``,
            or a tuple, for ``model(*inputs)``. Targets may be a dict or tuple too, for your own loss.
        alpha: Range along delta: ``"-1:1:21"``, ``(-1, 1, 21)`` or an :class:`~lossgrid.surface.grid.Axis`.
        beta: Range along eta; None for a line.
        tolerance: How far interpolated values may be off, such as 0.01; as many points are computed as that needs, and
            an audit tells how many are off. None computes every point. See docs/refinement.md.
        tolerance_of: The unit of the tolerance: ``colours``, the range of the picture, or each ``value`` itself.
        samples: With a tolerance, points are estimated on so many samples of each split, and corrected by points that
            are computed on all; None for no estimates.
        directions: ``"random"``, a direction file, a list of one or two dicts of tensors by entry, or a function
            ``f(around, axes)`` that returns such a list; see :class:`lossgrid.directions.Around`.
        to: A second trained network, at alpha = 1; or two, at alpha = 1 and at beta = 1: modules, state dicts or
            checkpoint files.
        norm: ``filter``, ``layer``, ``weight`` or ``none``, for random directions.
        perturb_bias_and_norm: Random directions also move biases and the parameters of normalisation layers.
        move: Patterns of the names of entries that move, such as ``"*lora_*"``; all others stay, and so for ``freeze``,
            of those that do not move. For random directions, ``to``, and functions.
        freeze: See ``move``.
        trainable_only: Parameters with ``requires_grad=False`` do not move.
        seed: Seed of random directions.
        loss: ``cross_entropy``, ``mse``, ``bce``, ``l1``, ``smooth_l1``, ``huber``, ``poisson_nll``; or
            ``loss(outputs, targets)`` that returns a number per sample, the pair (total, weight) of the batch, or the
            plain mean over its samples. A parameter ``model`` gets the moving copy of the network.
        loss_args: Arguments of a built-in loss, such as ``{"ignore_index": -100}``; docs/losses.md lists them.
        metrics: Further measures: names such as ``"top5"``, ``"error"``, ``"ece"``; or a dict of your own by name:
            ``f(outputs, targets)`` with the same results as a loss, or an object with ``update``, ``compute`` and
            ``reset``, as in torchmetrics.
        step: ``step(model, batch)``, in place of ``loss`` and ``metrics``: it makes the forward pass and returns all
            values by name, ``loss`` among them, each as a loss does. docs/losses.md has examples.
        max_samples: Number of samples of each split, spread evenly over it; None for all.
        collate_fn: Makes a batch of a list of samples, such as by padding; None: that of a DataLoader, else samples are
            stacked.
        batch_size: Samples per forward pass; ``"auto"`` is about 128, tuned in runs that are not short.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32``, ``tf32``, ``float16``, ``bfloat16`` or ``float64``.
        variant: How the network is run: ``auto``, ``plain``, ``folded``, ``fused`` or ``compiled``.
        cuda_graphs: Replay points as CUDA graphs: ``auto`` (where possible), ``yes`` or ``no``.
        max_rounding: Largest allowed difference of a lower precision from float32: relative for losses, absolute for
            accuracies.
        out: A surface file, resumed if it exists; without one the surface is only returned.
        label: Name of the surface in titles, tables and legends.
        overwrite: Replace a surface of another run in ``out``.
        time_limit: Seconds after which the run stops; None for no limit.
        progress: Whether to display a bar. None for a bar in a notebook and on a terminal; in logs there is none.
        live: Whether a notebook shows the surface meanwhile, in a figure that sharpens; or the options of that figure,
            such as ``{"metric": "test_loss"}``. Computed points have a dot. Drawing takes a second and 1 % of the
            time at most.

    Returns:
        The surface. After the time limit or SIGTERM, pending points are NaN and ``complete`` is False.

    Raises:
        InputError: An argument cannot work; the text names it and the reason.
        RankError: The computation failed.
        KeyboardInterrupt: A rank got Ctrl-C.

    Example:
        >>> import torch, lossgrid
        >>> inputs = torch.eye(2)
        >>> surface = lossgrid.evaluate(torch.nn.Linear(2, 2), (inputs, torch.tensor([0, 1])), alpha=(-1, 1, 3))
        >>> surface["train_loss"].shape
        (3,)
    """
    networks = [to] if isinstance(to, (torch.nn.Module, Mapping, str, Path)) else list(to)
    given = Given(
        model, data, loss, _plain(loss_args), _by_name(metrics), directions, networks, max_samples, collate_fn, step
    )
    settings = {
        **given.settings(),
        "alpha": _axis(alpha),
        "beta": None if beta is None else _axis(beta),
        "tolerance": tolerance,
        "tolerance_of": tolerance_of,
        "samples": samples,
        "norm": norm,
        "perturb_bias_and_norm": perturb_bias_and_norm,
        "move": move,
        "freeze": freeze,
        "trainable_only": trainable_only,
        "seed": seed,
        "batch_size": batch_size,
        "device": device,
        "precision": precision,
        "variant": variant,
        "cuda_graphs": cuda_graphs,
        "max_rounding": max_rounding,
        "label": label,
        "overwrite": overwrite,
        "time_limit": time_limit,
    }
    world = _world()
    with ExitStack() as cleanup:
        if out is None:
            folder = parallel.on_root(world, lambda: cleanup.enter_context(tempfile.TemporaryDirectory()))
            settings |= {"out": Path(folder) / "surface.h5", "writer": "root"}  # only rank 0 may see this folder
        else:
            settings |= {"out": Path(out)}
        config = resolve(RunConfig, settings)
        figure = live_figure(config.out, live, is_root=world.is_root)
        cleanup.enter_context(printed_in_notebooks())
        alone = world.size == 1  # else a second Ctrl-C must end the process: others wait for it
        with parallel.stop_on_signals(interrupts=alone) as stop, parallel.guarded(world, config.heartbeat):
            budget = Budget.of(config.time_limit, stop)
            run(config, world, budget, load=given.load, progress=progress, look=figure.look)
            interrupted = any(parallel.gather(world, stop.signal is signal.SIGINT))
        figure.end()
        if interrupted:
            raise KeyboardInterrupt(_interruption(out, overwrite=overwrite))
        surface = Surface.of(parallel.on_root(world, lambda: store.read(config.out)))
        return replace(surface, path=None) if out is None else surface  # the temporary file vanishes


def _interruption(out: str | Path | None, *, overwrite: bool) -> str:
    """Return the text of KeyboardInterrupt: how to go on."""
    if out is None:
        return "evaluate was interrupted and stored nothing; give out= to store points and to resume"
    return f"evaluate was interrupted; the same call{' without overwrite' if overwrite else ''} resumes {out}"


@contextmanager
def printed_in_notebooks() -> Iterator[None]:
    """Print the log in a notebook while the block runs, unless it has a handler; it reports the centre first."""
    logger = logging.getLogger("lossgrid")
    if not hasattr(builtins, "__IPYTHON__") or logger.hasHandlers():
        yield
        return
    handler, level = logging.StreamHandler(sys.stdout), logger.level
    handler.setFormatter(logging.Formatter("lossgrid: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@cache
def _world() -> World:
    return parallel.join()


def _by_name(metrics: Sequence[str] | Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return pairs of name and metric; a built-in metric is its own name."""
    if isinstance(metrics, Mapping):
        return list(metrics.items())
    return [(name, name) for name in ([metrics] if isinstance(metrics, str) else metrics)]


def _plain(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return arguments as JSON types; arrays and tensors become lists.

    Raises:
        InputError: An argument is none of them.
    """
    given = {} if arguments is None else arguments
    if not isinstance(given, Mapping):
        raise InputError(f"loss_args: expected a dict such as {{'ignore_index': -100}}, got {type(given).__name__}")
    found = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in given.items()}
    for name, value in found.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError):
            raise InputError(
                f"loss_args: expected a number, true or false, or a list of numbers as {name}, got "
                f"{type(value).__name__}"
            ) from None
    return found


def _axis(given: Range) -> Axis:
    if isinstance(given, Axis):
        return given
    return Axis.parse(given) if isinstance(given, str) else Axis(float(given[0]), float(given[1]), int(given[2]))

"""``lossgrid run --dry-run``: what the run would be, of its settings, one measured batch, and what ``check`` finds.

Nothing is written, locked or computed: the steps are those of :mod:`lossgrid.run.path` up to the first point, and the
findings those of :mod:`lossgrid.check.installation` that need no trial in the folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lossgrid.check.devices import about_devices
from lossgrid.check.folder import about_folder
from lossgrid.check.forecast import PASSES, Forecast
from lossgrid.check.installation import printed, told, why_not_parallel
from lossgrid.check.rank_facts import RankFacts, gather_facts
from lossgrid.check.report import verdict
from lossgrid.check.software import about_software
from lossgrid.evaluation import Device, Evaluator, arithmetic, choose_device
from lossgrid.machine.allocator import freed_memory_kept
from lossgrid.machine.disks import file_system
from lossgrid.machine.finding import Finding
from lossgrid.machine.gpus import gpu_memory_peak, is_for_gpus, visible_gpus
from lossgrid.machine.launcher import detect
from lossgrid.machine.memory import peak_memory
from lossgrid.machine.resources import sharers
from lossgrid.parallel import World, collective, collectively, gather, on_root
from lossgrid.precision import PRECISIONS
from lossgrid.run.claim import Claim, looked_at
from lossgrid.run.equipment import Equipment, choose_writer
from lossgrid.run.preparation import Prepared, prepare
from lossgrid.run.recipe import by_hand, recorded_as_asked, untuned
from lossgrid.run.study import Study, load_study
from lossgrid.settings import RunConfig

BUFFERS = 3  # of the size of what moves: theta*, delta and eta
STAND_IN = "seconds and memory: this run is for a GPU, and there is none here; start the dry run where there is one"
NO_GPU = "the speed of a GPU: this PyTorch is built for GPUs, and there is none here"
LOWER = "the rounding error of --precision {}: the run measures it first, and refuses more than --max-rounding"
WRITES = "the speed and the locks of the folder: lossgrid check FOLDER tries them"


@dataclass(frozen=True)
class Rehearsal:
    """What was prepared for the run, or for its stand-in on a CPU.

    Attributes:
        claim: The settings and the surface to resume.
        equipment: The device of this rank.
        prepared: Network, data, directions.
        evaluator: Evaluates points as the run would, not tuned.
        stands_in: Whether the run is for a GPU, and this is none.
    """

    claim: Claim
    equipment: Equipment
    prepared: Prepared
    evaluator: Evaluator
    stands_in: bool


@collective
def dry_run(
    config: RunConfig, world: World, *, began: float, load: Callable[[RunConfig, World], Study] = load_study
) -> bool:
    """Print the forecast of a run and the findings, and return whether it can work.

    Args:
        config: The settings.
        world: The ranks.
        began: ``time.monotonic()`` at the start of the program.
        load: Loads the network and the data.

    Raises:
        InputError: The input is wrong, as in the run.
        RankError: Some ranks failed.
    """
    printed(world, ["dry run: nothing is computed or written", ""])
    with arithmetic.restored(), freed_memory_kept():
        ranks = gather_facts(world)
        rehearsal = rehearse(config, world, ranks, load)
        forecast = foresee(rehearsal, config, world, began=began)
    printed(world, [*forecast.lines(), ""])
    findings = on_root(world, lambda: find(config, world, ranks))
    told(world, findings)
    printed(world, [verdict(findings, ())])
    return not any(finding.is_error for finding in findings)


@collective
def rehearse(
    config: RunConfig, world: World, ranks: list[RankFacts], load: Callable[[RunConfig, World], Study]
) -> Rehearsal:
    """Do what a run does before its first point, without tuning; where it is for a GPU that is not here, on the CPU."""
    claim = looked_at(config, world)
    old = None if claim.old is None else claim.old.origin.device_type
    for_gpu = (
        config.device == "cuda" or PRECISIONS[config.precision].of_gpus or (old == "cuda" and config.device == "auto")
    )
    stands_in = for_gpu and not all(gather(world, visible_gpus() > 0))
    writer = collectively(world, lambda: choose_writer(config.writer, world))
    if stands_in:
        changed = {"device": "cpu", "precision": "float32", "variant": "plain", "cuda_graphs": "no"}
        claim = Claim(claim.config.model_copy(update=changed), world, claim.old)
    device = collectively(world, lambda: _device(claim.config, world))
    threads = ranks[world.rank].threads
    torch.set_num_threads(threads)
    equipment = Equipment(device, sharers(ranks, world.rank), threads, writer)
    prepared = prepare(claim, equipment, load=load, device_type="cuda" if stands_in else None)
    recorded = None if stands_in else claim.recipe
    asked = by_hand(claim.config) if recorded is None else recorded
    evaluator = untuned(prepared.evaluator, world, asked)
    return Rehearsal(claim, equipment, prepared, recorded_as_asked(evaluator, world, asked), stands_in)


def _device(config: RunConfig, world: World) -> Device:
    return choose_device(config.device, config.precision, local_rank=world.local_rank)


@collective
def foresee(rehearsal: Rehearsal, asked: RunConfig, world: World, *, began: float) -> Forecast:
    """Measure a batch on all ranks at once, and return the forecast.

    Args:
        rehearsal: What was prepared.
        asked: The settings of the user.
        world: The ranks.
        began: ``time.monotonic()`` at the start of the program.
    """
    config, prepared, evaluator = rehearsal.claim.config, rehearsal.prepared, rehearsal.evaluator
    start = max(gather(world, time.monotonic() - began))
    passes = [evaluator.first_batches() for _ in range(1 + PASSES)]  # the first chooses kernels and allocates memory
    first = sum(min(samples, evaluator.batch_size) for samples in evaluator.samples.values())
    measured = [one.seconds / first for one in passes[1:]]
    seconds, slowest = gather(world, min(measured)), max(gather(world, max(measured)))
    device, on_gpu = evaluator.device, evaluator.device.type == "cuda"
    peaks = gather(world, (peak_memory(), gpu_memory_peak(device.torch_device) if on_gpu else 0))
    data_bytes = sum(split.nbytes(device.dtype) for split in prepared.study.splits.values())
    resident = all(one.resident for one in evaluator.batches.values())
    model = evaluator.subject.model
    model_bytes = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    moved = prepared.axes.moved(evaluator.subject.plane.names).numbers or 0
    weights = {"checkpoint": "weights of a checkpoint", "random": "random weights", "given": "weights as given"}
    doubts = [STAND_IN] if rehearsal.stands_in else []
    if not (rehearsal.stands_in or on_gpu) and is_for_gpus():
        doubts.append(NO_GPU)
    if PRECISIONS[asked.precision].is_lower:
        doubts.append(LOWER.format(asked.precision))
    threads = rehearsal.equipment.threads
    return Forecast(
        network=f"{config.model}, {weights.get(prepared.study.weights, 'weights of its factory')}",
        parameters=sum(tensor.numel() for tensor in model.parameters()),
        moved=moved,
        data=evaluator.samples,
        where=f"{data_bytes / 1e6:,.3g} MB {'in the memory of the device' if resident else 'read anew for each point'}",
        grid=config.grid,
        pending=int(rehearsal.claim.pending.sum()),
        tolerance=config.tolerance,
        device=f"{device.name}, {threads} thread{'s' if threads > 1 else ''}, {device.precision}",
        recipe=f"variant {evaluator.network.variant}, batches of {evaluator.batch_size}"
        + (", CUDA graphs" if evaluator.recorded else "")
        + ("" if rehearsal.claim.recipe else "; a run of more than half a minute tunes them"),
        quantities=evaluator.quantities,
        values=passes[0].values.tolist(),
        errors=passes[0].errors.tolist(),
        seconds=None if rehearsal.stands_in else seconds,
        slowest=slowest,
        start=start,
        peak=max(here for here, _ in peaks),
        gpu_peak=max(there for _, there in peaks) if on_gpu else None,
        gpu_least=data_bytes + model_bytes + BUFFERS * moved * device.dtype.itemsize if rehearsal.stands_in else None,
        doubts=[*doubts, WRITES],
    )


def find(config: RunConfig, world: World, ranks: list[RankFacts]) -> list[Finding]:
    """Return what is wrong with the software, the devices and the folder, as far as that needs no trial."""
    findings = [*about_software(ranks, launched=detect() is not None), *about_devices(ranks)]
    parallel = config.writer != "root" and why_not_parallel(world, findings, ()) is None
    return [*findings, *about_folder(file_system(config.out.parent), {}, (), ranks, parallel=parallel)]

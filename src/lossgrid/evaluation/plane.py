"""theta = theta* + alpha delta + beta eta, written into a network in two fused operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from lossgrid.evaluation.conversion import entries_of

ALIGNMENT = 64  # bytes; each tensor starts at a multiple, for fast vector loads


class Plane:
    """The moved entries of a network, stored in flat buffers of real numbers.

    The parameters and buffers of the network become views of one flat ``theta``. Every point is computed from the copy
    ``theta*``, never from the previous point, so round-off does not accumulate.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        delta: Mapping[str, torch.Tensor],
        eta: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Make the entries of ``model`` in ``delta`` or ``eta`` views of the flat buffer.

        Args:
            model: The network at theta*, on its device, in its dtype.
            delta: First direction, by entry: same shape, any floating dtype and device, complex for complex entries.
            eta: Second direction, likewise; None for a line.
        """
        self._own = entries_of(model)
        names = [name for name in self._own if name in delta or (eta is not None and name in eta)]
        self._slices = list(_lay_out({name: self._own[name] for name in names}))
        size = self._slices[-1][2] if self._slices else 0
        sample = self._own[names[0]] if names else torch.empty(0)
        self._start = torch.zeros(size, dtype=sample.dtype.to_real(), device=sample.device)
        self._delta = torch.zeros_like(self._start)
        self._eta = None if eta is None else torch.zeros_like(self._start)
        for name, begin, end in self._slices:
            entry = self._own[name]
            _view(self._start, entry, begin, end).copy_(entry.detach())
            for flat, direction in ((self._delta, delta), (self._eta, eta)):
                if flat is not None and direction is not None and name in direction:
                    _view(flat, entry, begin, end).copy_(direction[name])
        self._theta = self._start.clone()
        for name, begin, end in self._slices:
            entry = self._own[name]
            entry.data = _view(self._theta, entry, begin, end)

    @torch.inference_mode()
    def move(self, alpha: float, beta: float = 0.0) -> None:
        """Set the entries to theta* + alpha delta + beta eta; at (0, 0) theta*, bit for bit."""
        torch.add(self._start, self._delta, alpha=alpha, out=self._theta)
        if self._eta is not None:
            self._theta.add_(self._eta, alpha=beta)

    @torch.inference_mode()
    def restore(self) -> None:
        """Set the entries to theta*, bit for bit."""
        self._theta.copy_(self._start)

    @torch.inference_mode()
    def shake(self, fraction: float) -> None:
        """Perturb every moved number by up to ``fraction`` of it, as round-off does; with a fixed seed."""
        generator = torch.Generator(self._theta.device).manual_seed(0)
        noise = torch.empty_like(self._theta).uniform_(-fraction, fraction, generator=generator)
        self._theta.addcmul_(self._theta, noise)

    @torch.inference_mode()
    def why_not_finite(self) -> str | None:
        """Return which entries cause outputs that are not finite at the present point; None if none do."""
        infinite = [name for name in self.names if not bool(self._own[name].isfinite().all())]
        negative = [
            name for name, entry in self._own.items() if name.endswith("running_var") and bool((entry < 0).any())
        ]
        if infinite:
            return f"{len(infinite)} entries of the network, such as {infinite[0]}, are not finite there"
        if negative:
            return (
                f"the variance of {len(negative)} normalisation layers, such as {negative[0]}, is below 0: beyond "
                "the two networks statistics are extrapolated; keep the range within 0:1"
            )
        return None

    @property
    def names(self) -> list[str]:
        """The names of the moved entries, in the order of the network."""
        return [name for name, _, _ in self._slices]


def _lay_out(entries: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, int, int]]:
    """Yield name, begin and aligned end of each entry in the flat buffer, in real numbers."""
    begin = 0
    for name, entry in entries.items():
        numbers = entry.numel() * (2 if entry.is_complex() else 1)
        step = ALIGNMENT // entry.dtype.to_real().itemsize
        end = begin + -(-numbers // step) * step
        yield name, begin, end
        begin = end


def _view(flat: torch.Tensor, entry: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    """Return the view of ``flat`` for ``entry``, in its shape and memory format; a complex number takes two."""
    if entry.is_complex():
        part = torch.view_as_complex(flat[begin:end][: 2 * entry.numel()].view(-1, 2))
    else:
        part = flat[begin:end][: entry.numel()]
    if entry.ndim == 4 and entry.is_contiguous(memory_format=torch.channels_last) and not entry.is_contiguous():
        n, c, h, w = entry.shape
        return part.view(n, h, w, c).permute(0, 3, 1, 2)
    return part.view(entry.shape)

"""Settings of checkpoints: the file of the trained network, and where the weights are in such files."""

from __future__ import annotations

from typing import Annotated, Any

from lossgrid.settings.network import NetworkConfig
from lossgrid.settings.option import NETWORK, option
from lossgrid.settings.types import LONGEST, Pattern, ReadPath, Repeated


class CheckpointConfig(NetworkConfig):
    """A network, its checkpoint, and the layout of this and all other checkpoints of a run."""

    checkpoint: ReadPath | None = option(
        None,
        metavar="FILE",
        help="Trained parameters: torch.save of a state dict, safetensors, or a folder or index of shards; without it "
        "as built from --model-seed.",
        role="contents",
        group=NETWORK,
    )
    checkpoint_key: str | None = option(
        None,
        metavar="KEY",
        help="The entry of a checkpoint that holds the state dict, such as ema; dots separate nested keys.",
        role="contents",
        group=NETWORK,
        min_length=1,
        max_length=LONGEST,
    )
    checkpoint_prefix: str | None = option(
        None,
        metavar="PREFIX",
        help="Removed from the names in a checkpoint that begin with it, such as model.",
        role="contents",
        group=NETWORK,
        min_length=1,
        max_length=LONGEST,
    )
    checkpoint_ignore: Annotated[tuple[Pattern, ...], Repeated] = option(
        (),
        metavar="PATTERN",
        help="Leave out the entries of a checkpoint whose names match, such as 'loss.*'; repeatable.",
        role="contents",
        group=NETWORK,
    )

    @property
    def layout(self) -> dict[str, Any]:
        """The arguments of :class:`lossgrid.models.Layout`: where the weights are in checkpoints."""
        return {
            "key": self.checkpoint_key,
            "prefix": self.checkpoint_prefix,
            "ignore": self.checkpoint_ignore,
        }

    def about_checkpoints(self) -> list[str]:
        """Return the settings of the layout that are given."""
        return [name for name in ("checkpoint_key", "checkpoint_prefix", "checkpoint_ignore") if getattr(self, name)]

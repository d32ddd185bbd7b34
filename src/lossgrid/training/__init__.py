"""Training for experiments, in one process: networks whose surfaces are then computed."""

from lossgrid.training.loop import train

__all__ = ["train"]

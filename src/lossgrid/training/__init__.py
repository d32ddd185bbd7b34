"""Training for experiments, in one process: networks whose surfaces are then computed."""

from lossgrid.training.course import train

__all__ = ["train"]

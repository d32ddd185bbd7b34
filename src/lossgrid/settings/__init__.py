"""What can be asked for: one frozen model for each verb, filled from a TOML file and the command line, then checked."""

from lossgrid.settings.layers import read_toml, read_value, resolve
from lossgrid.settings.network import NetworkConfig
from lossgrid.settings.run import DirectionsConfig, ModelConfig, RunConfig, recorded
from lossgrid.settings.train import TrainConfig

__all__ = [
    "DirectionsConfig",
    "ModelConfig",
    "NetworkConfig",
    "RunConfig",
    "TrainConfig",
    "read_toml",
    "read_value",
    "recorded",
    "resolve",
]

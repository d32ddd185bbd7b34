"""Settings: one frozen model per verb, read from a TOML file and the command line, then validated."""

from lossgrid.settings.directions import DirectionsConfig, ModelConfig
from lossgrid.settings.layers import read_toml, read_value, resolve
from lossgrid.settings.network import NetworkConfig
from lossgrid.settings.run import FunctionConfig, RunConfig, recorded, recorded_function
from lossgrid.settings.train import TrainConfig

__all__ = [
    "DirectionsConfig",
    "FunctionConfig",
    "ModelConfig",
    "NetworkConfig",
    "RunConfig",
    "TrainConfig",
    "read_toml",
    "read_value",
    "recorded",
    "recorded_function",
    "resolve",
]

"""Settings of a network and its data, which those of a run and of a training share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from lossgrid.settings.types import Arguments

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32", "bfloat16", "float64"]


class NetworkConfig(BaseModel):
    """A network and the data it is for: what all settings share."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    model: str = Field(min_length=1)
    model_arg: Arguments = Field(default_factory=dict)
    data: str = "digits"
    data_arg: Arguments = Field(default_factory=dict)

"""Surfaces of one function: which belong together or to a run, by their origin, and how several become one."""

from lossgrid.origin.identity import (
    axes_of,
    identity_of,
    refuse_strangers,
    refuse_unknown_origin,
    settings_of,
    warn_of_other_ways,
)

__all__ = [
    "axes_of",
    "identity_of",
    "refuse_strangers",
    "refuse_unknown_origin",
    "settings_of",
    "warn_of_other_ways",
]

"""Families of tests: the members of which ``jobs/test.sh full`` runs some and a campaign all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import pytest

Member = tuple[Any, ...]


def further(*values: object) -> Any:
    """Return a member of a family that only a campaign runs."""
    return pytest.param(*values, marks=pytest.mark.campaign)


def family(*axes: Sequence[object], full: Iterable[Member], any_mpi: Iterable[Member] = ()) -> list[Any]:
    """Return all members of a product, those besides ``full`` as a campaign's.

    Args:
        axes: The values of each argument of the test.
        full: The members that every full run has.
        any_mpi: Those of them that CI runs under each MPI.
    """
    members, kept, heart = list(product(*axes)), set(full), set(any_mpi)
    assert kept
    assert heart <= kept <= set(members), "no member of the family"
    marks = {member: [pytest.mark.any_mpi] for member in heart} | {
        member: [pytest.mark.campaign] for member in members if member not in kept
    }
    return [pytest.param(*member, marks=marks.get(member, [])) for member in members]

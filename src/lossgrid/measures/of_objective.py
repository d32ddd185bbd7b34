"""The measures of an objective: its loss, its accuracy, and further measures of its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lossgrid.measures.classes import Counted
from lossgrid.measures.labels import Labels
from lossgrid.measures.mean import Mean
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Objective
from lossgrid.measures.outputs import Read
from lossgrid.measures.ratio import Ratio
from lossgrid.surface import quantity


def measures_of(objective: Objective, more: Sequence[Measure] = ()) -> list[Measure]:
    """Return the measures of a split: loss, accuracy if it has one, then ``more``."""
    found: list[Measure] = [loss_of(objective)]
    if objective.recognised is not None:
        ratio = objective.labels is not None and objective.labels.ignored is not None
        kind = Ratio if ratio else Mean
        found.append(kind("accuracy", objective.recognised, quantity.accuracy, objective.labels is not None))
    return found + [of_labels(measure, objective.labels) for measure in more]


def loss_of(objective: Objective) -> Measure:
    """Return the measure of a loss."""
    kind = Ratio if objective.by_weight else Mean
    return kind("loss", objective.terms, lambda split: quantity.loss(split, objective.units))


def of_labels(measure: Measure, labels: Labels | None) -> Measure:
    """Return a measure; one of classes gets the targets that count, with the classes in dimension 1."""
    if isinstance(measure, Read):
        return replace(measure, measure=of_labels(measure.measure, labels))
    if labels is None or labels.are_usual or not measure.of_classes:
        return measure
    return Counted(measure, labels)

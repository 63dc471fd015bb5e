"""Values that no forgetting can have: refused at the door by name, and not believed where they came in before."""

from __future__ import annotations

import logging

import numpy as np

from forgetcast.completion.arguments import LARGEST_FORGETTING
from forgetcast.errors import BeyondBelief, FieldError
from service.storage.tasks import MeasuredCells

log = logging.getLogger(__name__)


def beyond_belief(value: float, where: str, pointer: str) -> BeyondBelief:
    """The error for a value of more than `LARGEST_FORGETTING` either way."""
    detail = (
        f"{where}: {value:g} nats per token; beyond {LARGEST_FORGETTING:,.0f} it is no measurement, so leave the cell "
        "out or look at the run"
    )
    return BeyondBelief(detail, errors=(FieldError(pointer, detail),))


def believable(cells: MeasuredCells, task_id: str) -> MeasuredCells:
    """The cells without those that would be refused today, and were taken in before there was a limit."""
    kept = np.abs(cells.forgetting) <= LARGEST_FORGETTING
    if kept.all():
        return cells
    log.warning("%d cells of the task %s are beyond belief and count as missing", int((~kept).sum()), task_id)
    return cells.at(kept)

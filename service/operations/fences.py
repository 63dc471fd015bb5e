"""What a replay set must not hold, lest a candidate be judged by what it was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.types import Mask
from forgetcast.errors import InvalidRequest
from forgetcast.gate.metrics import Metric
from forgetcast.gate.policy import Policy
from service.operations.forecast_cache import Completed
from service.operations.matrices import unknown
from service.storage import gates
from service.storage import tasks as task_storage
from service.storage.database import Session
from service.storage.matrices import get_matrix
from service.storage.upstream_sets import positions_by_tag, positions_of

PAGE = 1_000  # verdicts that are read at a time


@dataclass(frozen=True, eq=False)
class Fence:
    """Of a task to be judged: positions of its random probes and of what its policies protect, as a mask. (N,)"""

    task_id: str
    row_version: int
    inside: Mask


def fence_of(session: Session, completed: Completed, task_id: str) -> Fence:
    """The fence of a task, as it is measured now and as it was judged so far.

    Raises
    ------
    UnknownReference : there is no such task
    InvalidRequest : it is a task on another upstream set
    """
    task = task_storage.find_task(session, task_id)
    if task is None:
        raise unknown("/fence", f"no task has the id {task_id!r}")
    if get_matrix(session, task.matrix_id).upstream_set_id != completed.upstream_set_id:
        raise InvalidRequest(
            f"the fence {task_id!r} is a task on another upstream set than {completed.upstream_set_id!r}, so that it "
            "shares no example with this one"
        )
    inside = np.zeros(completed.row.mean.size, dtype=np.bool_)
    cells = task_storage.read_cells(session, task.id, task.row_version, None)
    if cells.positions.size < inside.size - completed.unmeasurable.size:  # of a finished row no cell counts as random
        inside[cells.positions[cells.at_random]] = True
    for policy in _policies(session, task.id):
        inside[_protected(session, completed.upstream_set_id, policy)] = True
    return Fence(task.id, task.row_version, inside)


def _policies(session: Session, task_id: str) -> list[Policy]:
    """Those that the task was judged by."""
    found: dict[str, Policy] = {}
    page = gates.list_gates(session, task_id, "", PAGE)
    while page:
        for gate in page:
            sha256 = gate.document["policy_sha256"]
            if sha256 not in found:
                found[sha256] = Policy.model_validate(gate.document["policy"])
        page = gates.list_gates(session, task_id, page[-1].id, PAGE)
    return list(found.values())


def _protected(session: Session, upstream_set_id: str, policy: Policy) -> list[int]:
    asked = [assertion for assertion in policy.asked if assertion.metric == Metric.PROTECTED]
    ids = [name for assertion in asked for name in assertion.ids]
    by_tag = positions_by_tag(session, upstream_set_id, {tag for assertion in asked for tag in assertion.tags})
    return [
        *positions_of(session, upstream_set_id, ids).values(),
        *(position for positions in by_tag.values() for position in positions),
    ]

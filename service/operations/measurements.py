"""Take in what a training run measured itself."""

from __future__ import annotations

import numpy as np

from forgetcast import schemas
from forgetcast.completion.arguments import LARGEST_FORGETTING
from forgetcast.errors import (
    FieldError,
    RecipeMismatch,
    RepeatedExample,
    RowKnown,
    UnknownReference,
)
from service.operations.belief import beyond_belief
from service.storage import tasks as storage
from service.storage.database import Session
from service.storage.jobs import check_idle
from service.storage.matrices import get_matrix
from service.storage.upstream_sets import positions_of


def post_measurements(session: Session, task_id: str, posted: schemas.MeasurementsCreate) -> None:
    """Add posted cells to a task's row, all or none.

    Cells of another recipe are kept with their provenance, and the forecast says so; cells of another setting are not
    comparable at all and are refused.

    Raises
    ------
    TaskNotFound, RepeatedExample
    BeyondBelief : a value that no forgetting can have, with its pointer
    RowKnown : the matrix learns from this row, and single cells would make its forecast another row than that
    UnknownReference : an example that the upstream set does not have, with its pointer
    RecipeMismatch : measured under another setting
    JobActive : a worker is measuring this task
    """
    matrix = get_matrix(session, storage.get_task(session, task_id).matrix_id)
    # Before the lock: a task keeps its matrix, and a sealed set its positions.
    place = positions_of(session, matrix.upstream_set_id, [cell.example_id for cell in posted.cells])
    task = storage.get_task(session, task_id, lock=True)
    if task.known:
        raise RowKnown(
            f"the task {task_id!r} is a known row of the matrix {matrix.id!r}, which changes as a whole; PUT it to "
            f"/v1/matrices/{matrix.id}/rows/{task_id}, or register another task for these cells"
        )
    setting = posted.setting.model_dump(mode="json")
    if setting != matrix.setting:
        raise RecipeMismatch(
            f"the cells were measured under another setting than the matrix {matrix.id!r}, so they cannot be compared: "
            f"{setting} instead of {matrix.setting}"
        )
    check_idle(session, task_id)
    value_at: dict[int, float] = {}
    at_random: list[int] = []
    for number, cell in enumerate(posted.cells):
        pointer = f"/cells/{number}/example_id"
        if cell.example_id not in place:
            detail = f"the upstream set {matrix.upstream_set_id!r} has no example {cell.example_id!r}"
            raise UnknownReference(detail, errors=(FieldError(pointer, detail),))
        if place[cell.example_id] in value_at:
            detail = f"the example {cell.example_id!r} appears twice"
            raise RepeatedExample(detail, errors=(FieldError(pointer, detail),))
        if abs(cell.value) > LARGEST_FORGETTING:
            raise beyond_belief(cell.value, f"task {task_id!r}, example {cell.example_id!r}", f"/cells/{number}")
        value_at[place[cell.example_id]] = cell.value
        if posted.probes_at_random if cell.at_random is None else cell.at_random:
            at_random.append(place[cell.example_id])
    positions = np.array(sorted(value_at), dtype=np.intp)
    storage.add_measurement(
        session,
        task,
        positions,
        np.array([value_at[position] for position in positions.tolist()]),
        random_positions=np.array(sorted(at_random), dtype=np.intp),
        model_revision=matrix.model_revision,
        recipe=posted.recipe.model_dump(mode="json"),
        setting=setting,
        seed=posted.seed,
        source=posted.source,
        weights_sha256=posted.weights_sha256,
        job_id=None,
    )
    session.flush()

"""Which task another one may repeat."""

from __future__ import annotations

from forgetcast.errors import FieldError, WrongRepeat
from service.operations.matrices import unknown
from service.storage.database import Session
from service.storage.tasks import find_task

POINTER = "/repeat_of"


def check_repeat(session: Session, matrix_id: str, task_id: str | None, repeat_of: str | None) -> None:
    """Refuse what can be no repeat: the noise of measuring is taken from pairs of one task and its repeat.

    Raises
    ------
    UnknownReference : there is no such task
    WrongRepeat : it is the task itself, a task of another matrix, or a repeat
    """
    if repeat_of is None:
        return
    if repeat_of == task_id:
        raise _wrong(f"the task {task_id!r} cannot repeat itself; a repeat has an id of its own")
    first = find_task(session, repeat_of)
    if first is None:
        raise unknown(POINTER, f"no task has the id {repeat_of!r}")
    if first.matrix_id != matrix_id:
        raise _wrong(f"{repeat_of!r} is a task of the matrix {first.matrix_id!r}, so nothing here is its repeat")
    if first.repeat_of is not None:
        raise _wrong(f"{repeat_of!r} repeats {first.repeat_of!r} itself; name that task")


def _wrong(detail: str) -> WrongRepeat:
    return WrongRepeat(detail, errors=(FieldError(POINTER, detail),))

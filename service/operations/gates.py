"""Judge a task by a policy, keep the verdict, and say what was judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from forgetcast import schemas
from forgetcast.completion import FittedMethod
from forgetcast.completion.types import Indices
from forgetcast.completion.uncertainty.drawn_errors import DrawnErrors
from forgetcast.errors import FitFailed, FitPending, MatrixEmpty, NotMeasured, TaskNotFound, WriteConflict
from forgetcast.gate.judge import judge
from forgetcast.gate.policy import AUTO, Policy
from forgetcast.gate.subject import Baseline, QualityFigures, RunVariance, Subject
from forgetcast.gate.verdict import JudgedObject, Verdict
from service.operations.fits import read_fit
from service.operations.forecast_cache import Completed, ForecastCache
from service.operations.forecasts import complete
from service.operations.matrices import unknown
from service.storage import gates as storage
from service.storage import tasks as task_storage
from service.storage.database import Session, moment
from service.storage.matrices import get_matrix
from service.storage.tables import Fit, Gate, Matrix
from service.storage.upstream_sets import positions_by_tag, positions_of

OTHER_RECIPE = "the cells were measured under another recipe than the known rows"
VERDICT = TypeAdapter(Verdict)


@dataclass(frozen=True)
class Judged:
    """A verdict that is not kept yet: what it is about, and what it was read from."""

    task_id: str
    row_version: int
    look: int
    finished: bool
    document: dict[str, Any]


def judge_task(session: Session, cache: ForecastCache, task_id: str, wanted: schemas.GateCreate) -> Judged:
    """The verdict on a task as it is measured now. Nothing is written.

    Raises
    ------
    TaskNotFound, NotMeasured, MatrixEmpty, FitPending, FitFailed
    UnknownReference : a replayed example that the upstream set does not have
    """
    completed = complete(session, cache, task_id)
    matrix = get_matrix(session, completed.matrix_id)
    policy = wanted.policy
    weights, mixed = _weights(session, completed)
    baseline, compared, no_baseline = _baseline(session, cache, completed, policy)
    subject = _subject(session, cache, completed, matrix, wanted)
    look = 1 if subject.finished else storage.look_of(session, task_id, completed.versions.row_version)
    judged = replace(
        subject,
        object=JudgedObject.RECIPE if weights is None else JudgedObject.CANDIDATE,
        baseline=baseline,
        no_baseline=no_baseline,
        look=look,
        unfit=[*mixed, *([] if subject.finished else _stale(matrix, completed))],
    )
    verdict = judge(policy, judged)
    document = {
        "matrix": matrix.id,
        **completed.versions.model_dump(),
        "policy": policy.model_dump(mode="json"),
        "policy_sha256": policy.sha256,
        "first_release": wanted.first_release,
        "judged": str(verdict.object),
        "weights_sha256": weights,
        "baseline": None if compared is None else compared.model_dump(mode="json"),
        "verdict": VERDICT.dump_python(verdict, mode="json"),
    }
    return Judged(task_id, completed.versions.row_version, look, subject.finished, document)


def keep(session: Session, judged: Judged) -> schemas.Gate:
    """Store a verdict, and spend its look.

    Raises
    ------
    TaskNotFound
    WriteConflict : the task was measured or judged meanwhile; judge it again
    """
    task = task_storage.get_task(session, judged.task_id, lock=True)
    look = 1 if judged.finished else storage.look_of(session, task.id, judged.row_version)
    if task.row_version != judged.row_version or look != judged.look:
        raise WriteConflict(f"the task {task.id!r} was measured while it was judged; ask again")
    kept = storage.add_gate(
        session, task.id, judged.row_version, judged.look, finished=judged.finished, document=judged.document
    )
    return view(kept)


def view(gate: Gate) -> schemas.Gate:
    document = {name: value for name, value in gate.document.items() if name != "row_version"}
    return schemas.Gate.model_validate(
        {
            **document,
            "id": gate.id,
            "task": gate.task_id,
            "row_version": gate.row_version,
            "look": gate.look,
            "created_at": moment(gate.created_at),
        }
    )


def read_gate(session: Session, gate_id: str) -> schemas.Gate:
    """A verdict as it was given. Raises GateNotFound."""
    return view(storage.get_gate(session, gate_id))


def list_gates(session: Session, task_id: str | None, after: str, limit: int) -> list[schemas.Gate]:
    return [view(gate) for gate in storage.list_gates(session, task_id, after, limit)]


def _subject(
    session: Session, cache: ForecastCache, completed: Completed, matrix: Matrix, wanted: schemas.GateCreate
) -> Subject:
    fit = read_fit(session, matrix, None)
    tags = {tag for assertion in wanted.policy.asked for tag in assertion.tags}
    by_tag = positions_by_tag(session, completed.upstream_set_id, tags)
    versions = completed.versions
    return Subject(
        row=completed.row,
        example_ids=completed.columns.example_ids,
        domain_of=completed.columns.domains,
        measurable=None if completed.measurable is None else np.flatnonzero(completed.measurable),
        tags={tag: np.array(positions, dtype=np.intp) for tag, positions in by_tag.items()},
        fitted=_fitted(session, cache, fit),
        quality=_quality(completed.quality),
        runs=_runs(fit),
        first_release=wanted.first_release,
        distrust="" if completed.same_recipe else OTHER_RECIPE,
        replayed=_replayed(session, completed, wanted.replay_ids),
        identity=(
            f"matrix {matrix.id} {versions.matrix_version}, task {completed.task_id} {versions.row_version}, "
            f"model {versions.model_version}"
        ),
    )


def _fitted(session: Session, cache: ForecastCache, fit: Fit) -> FittedMethod:
    """With what the back-test has learned of drawn rows; the usual errors, which are wide, until then."""
    fitted = cache.fitted(session, fit.arrays_sha256)
    return fitted if fit.drawn_errors is None else fitted.with_drawn_errors(DrawnErrors.from_json(fit.drawn_errors))


def _weights(session: Session, completed: Completed) -> tuple[str | None, list[str]]:
    """sha256 of the weights that the row's cells were measured on, and why they are not those of one model."""
    found = task_storage.weights_measured(session, completed.task_id, completed.versions.row_version)
    named = sorted(sha256 for sha256 in found if sha256 is not None)
    if len(found) > 1:
        others = "others of weights that nobody named" if None in found else f"others of {named[1][:12]}"
        return named[0], [
            f"weights: some cells were measured on {named[0][:12]}, {others}; a verdict is about one model"
        ]
    return (named[0] if named else None), []


def _stale(matrix: Matrix, completed: Completed) -> list[str]:
    version = completed.versions.matrix_version
    if version == matrix.version:
        return []
    return [
        f"stale: the matrix {matrix.id} has version {matrix.version}, and its newest fit is of {version}; ask again in "
        "some seconds"
    ]


def _quality(found: dict[str, Any] | None) -> QualityFigures | None:
    if found is None:
        return None
    error, popularity = found.get("row_mean_error"), found.get("row_mean_error_popularity")
    ratio = None if error is None or not popularity else error / popularity
    return QualityFigures(found.get("coverage"), ratio)


def _runs(fit: Fit) -> RunVariance | None:
    """How runs differ, as the analysis of the fit's matrix version found it in tasks measured twice."""
    noise = (fit.analysis or {}).get("noise") or {}
    if noise.get("at_most", True) or noise.get("row_mean_sd") is None:
        return None
    return RunVariance(len(noise["repeats"]), noise["row_mean_sd"], noise.get("domain_mean_sd"), noise["cell_sd"])


def _baseline(
    session: Session, cache: ForecastCache, completed: Completed, policy: Policy
) -> tuple[Baseline | None, schemas.GateBaseline | None, str]:
    """The row that thresholds compare with, its versions, and why there is none."""
    name = policy.baseline
    if name is None or all(assertion.threshold is None for assertion in policy.asked):
        return None, None, "the policy names no baseline"
    if name == AUTO:
        released = storage.newest_release(session, completed.matrix_id, other_than=completed.task_id)
        if released is None:
            return None, None, f"no task of the matrix {completed.matrix_id!r} was released yet"
        name = released.task_id
    if name == completed.task_id:
        return None, None, "the baseline is the task itself"
    try:
        other = complete(session, cache, name)
    except (TaskNotFound, NotMeasured, MatrixEmpty, FitPending, FitFailed) as error:
        return None, None, f"the baseline {name!r} cannot be read: {error}"
    if other.matrix_id != completed.matrix_id:
        return None, None, f"the baseline {name!r} is a task of another matrix, {other.matrix_id!r}"
    told = _measured_otherwise(session, other)
    if told:
        return None, None, told
    versions = other.versions
    kept = schemas.GateBaseline(task=name, row_version=versions.row_version, matrix_version=versions.matrix_version)
    return Baseline(name, other.row), kept, ""


def _measured_otherwise(session: Session, other: Completed) -> str:
    """Why a baseline's row is not that of the weights that were released; empty if it is."""
    released = storage.release_of(session, other.task_id)
    found = task_storage.weights_measured(session, other.task_id, other.versions.row_version)
    if released is None or found == {released.weights_sha256}:
        return ""
    return (
        f"the cells of the baseline {other.task_id!r} are not of the weights that were released "
        f"({released.weights_sha256[:12]})"
    )


def _replayed(session: Session, completed: Completed, replay_ids: list[str]) -> Indices:
    place = positions_of(session, completed.upstream_set_id, replay_ids)
    for number, name in enumerate(replay_ids):
        if name not in place:
            detail = f"the upstream set {completed.upstream_set_id!r} has no example {name!r}"
            raise unknown(f"/replay_ids/{number}", detail)
    return np.array(sorted(set(place.values())), dtype=np.intp)

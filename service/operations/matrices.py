"""Create and read matrices."""

from __future__ import annotations

from collections.abc import Callable

from forgetcast import schemas
from forgetcast.completion import MODEL_VERSION
from forgetcast.errors import FieldError, IdInUse, LimitExceeded, ModelNotFound, UnknownReference, UpstreamSetOpen
from service.models import Models
from service.operations.fits import read_failure
from service.storage import matrices as storage
from service.storage.database import Session, moment
from service.storage.ids import new_id
from service.storage.locks import hold
from service.storage.tables import Matrix, UpstreamSet


def create_matrix(
    session: Session, wanted: schemas.MatrixCreate, models: Callable[[], Models], max_steps: int
) -> tuple[schemas.Matrix, bool]:
    """A matrix without rows, and whether it is new; the same definition again is the same matrix.

    Raises
    ------
    UnknownReference : no such upstream set or model, with its pointer
    UpstreamSetOpen : the set has no examples yet
    IdInUse : a matrix of this id has another definition
    """
    if wanted.recipe.steps is not None and wanted.recipe.steps > max_steps:
        raise LimitExceeded(f"a recipe has at most {max_steps} steps here (FORGETCAST_MAX_STEPS)")
    upstream_set = session.get(UpstreamSet, wanted.upstream_set)
    if upstream_set is None:
        raise unknown("/upstream_set", f"no upstream set has the id {wanted.upstream_set!r}")
    if upstream_set.sha256 is None:
        raise UpstreamSetOpen(f"the upstream set {upstream_set.id!r} has no examples yet; PUT them first")
    try:
        revision = models().revision(wanted.model)
    except ModelNotFound as error:
        raise unknown("/model", str(error)) from error
    definition = {
        "upstream_set_id": wanted.upstream_set,
        "model": wanted.model,
        "model_revision": revision,
        "recipe": wanted.recipe.model_dump(mode="json"),
        "setting": wanted.setting.model_dump(mode="json"),
    }
    matrix_id = wanted.id or new_id("mat")
    hold(session, ("matrix", matrix_id))
    found = session.get(Matrix, matrix_id)
    if found is not None:
        different = [name for name, value in definition.items() if getattr(found, name) != value]
        if different:
            raise IdInUse(f"the matrix {matrix_id!r} exists with another {', '.join(different)}; choose another id")
        return view(session, found), False
    found = Matrix(id=matrix_id, **definition)
    session.add(found)
    session.flush()
    return view(session, found), True


def read_matrix(session: Session, matrix_id: str) -> schemas.Matrix:
    return view(session, storage.get_matrix(session, matrix_id))


def list_matrices(session: Session, after: str, limit: int) -> list[schemas.Matrix]:
    return [view(session, found) for found in storage.list_matrices(session, after, limit)]


def view(session: Session, found: Matrix) -> schemas.Matrix:
    fit = storage.newest_fit(session, found.id, MODEL_VERSION, None)
    upstream_set = session.get_one(UpstreamSet, found.upstream_set_id)
    assert upstream_set.n_examples is not None
    return schemas.Matrix(
        id=found.id,
        upstream_set=found.upstream_set_id,
        model=found.model,
        model_revision=found.model_revision,
        recipe=schemas.Recipe.model_validate(found.recipe),
        setting=schemas.Setting.model_validate(found.setting),
        version=found.version,
        n_tasks=storage.count_known(session, found.id),
        n_examples=upstream_set.n_examples,
        n_unmeasurable=0 if fit is None else fit.n_unmeasurable,
        fitted_version=None if fit is None else fit.matrix_version,
        fit_error=read_failure(session, found.id, found.version),
        quality=None if fit is None or fit.quality is None else schemas.Quality.model_validate(fit.quality),
        created_at=moment(found.created_at),
    )


def unknown(pointer: str, detail: str) -> UnknownReference:
    return UnknownReference(detail, errors=(FieldError(pointer, detail),))

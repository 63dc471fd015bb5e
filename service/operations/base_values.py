"""Log-perplexity before fine-tuning, measured once for every job under the same set, model and setting, and
with its weights held alike.

With it stands which upstream examples have nothing to score, so that they are neither probed nor forecast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.types import Indices, Mask
from forgetcast.marks import NOTHING_TO_SCORE
from forgetcast.recipe_defaults import how_weights_are_read
from service.operations.canonical import sha256_of
from service.storage import tasks as storage
from service.storage.database import Session
from service.storage.matrices import get_matrix, matrices_over, renew_matrix
from service.storage.tables import Matrix, UpstreamSet

Values = NDArray[np.float32]
# Workers once rounded the logits of bfloat16 weights, by some thousandths of a nat: values from then stand apart.
SINCE_FLOAT32_LOGITS = {"logits": "float32"}
Key = tuple[str, str, str]  # upstream set, revision of the model, sha256 of the setting and of how weights are read


def base_values(session: Session, matrix: Matrix) -> Values:
    """(N,) nats per token: NaN where nobody has measured yet, NOTHING_TO_SCORE where nobody can."""
    n_examples = session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples
    assert n_examples is not None
    return storage.read_base_values(session, *key(matrix), n_examples)


def hold_for_base_values(session: Session, matrix: Matrix, positions: Indices, before: Values) -> None:
    """Lock the matrices that get a new version when these are kept, before whatever comes after matrices."""
    new = np.isnan(base_values(session, matrix)[positions])
    if (before[new] == NOTHING_TO_SCORE).any():
        for one in _alike(session, matrix):
            get_matrix(session, one.id, lock=True)


def keep_base_values(session: Session, matrix: Matrix, positions: Indices, before: Values) -> None:
    """Add what was not known, after `hold_for_base_values`. Where examples turn out to have nothing to score, matrices
    that forecast them get a new version without them."""
    known = base_values(session, matrix)
    new = np.isnan(known[positions])
    if not new.any():
        return
    if (before[new] == NOTHING_TO_SCORE).any():
        for one in _alike(session, matrix):
            renew_matrix(session, one.id)
    storage.add_base_values(session, *key(matrix), known.size, positions, before)


def _alike(session: Session, matrix: Matrix) -> list[Matrix]:
    """Matrices over the same base values that have had a known row, by id."""
    found = matrices_over(session, matrix.upstream_set_id, matrix.model_revision)
    return [one for one in found if key(one) == key(matrix)]


def unmeasurable(session: Session, matrix: Matrix) -> Indices:
    """Positions of the examples that were found to have nothing to score, ascending."""
    values = storage.find_base_values(session, *key(matrix))
    return np.zeros(0, np.intp) if values is None else np.flatnonzero(values == NOTHING_TO_SCORE)


def without(positions: Indices, n_examples: int) -> Mask | None:
    """(N,) bools, false at these positions; None where there are none."""
    if positions.size == 0:
        return None
    others = np.ones(n_examples, np.bool_)
    others[positions] = False
    return others


def key(matrix: Matrix) -> Key:
    """What values are kept under: those of matrices with the same key are the same."""
    logits = SINCE_FLOAT32_LOGITS if matrix.setting.get("dtype") == "bfloat16" else {}
    how = matrix.setting | how_weights_are_read(matrix.recipe) | logits
    return (matrix.upstream_set_id, matrix.model_revision, sha256_of(how))

"""Which upstream examples to measure for a new task, designed from the newest fit of its matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from cachetools import LRUCache

from forgetcast import schemas
from forgetcast.completion import FittedMethod, ProbeSet, design_probes, expected_error, random_probes
from forgetcast.completion.types import Floats, Indices
from forgetcast.errors import FieldError, FitFailed, FitPending, InvalidRequest, MatrixEmpty
from service.operations.base_values import unmeasurable, without
from service.operations.fits import read_fit
from service.operations.forecast_cache import ForecastCache
from service.storage import matrices as storage
from service.storage.database import Session
from service.storage.tables import Matrix, UpstreamSet

Key = tuple[str, int, str, int, tuple[str, ...], bytes]


@dataclass(frozen=True, eq=False)
class DesignedProbes:
    """Probes in the order they are chosen.

    design : the one that was used
    designed_from : matrix version whose fit was asked; None when nothing but the seed was
    expected_error : (S + 1,) floats, nats per token, before and after each; None without a fit
    """

    probes: ProbeSet
    design: str
    designed_from: int | None
    expected_error: Floats | None

    def first(self, size: int) -> DesignedProbes:
        """The first probes of it: sets of the same fit, design and seed are nested."""
        probes = ProbeSet(self.probes.positions[:size], self.probes.at_random[:size])
        expected = None if self.expected_error is None else self.expected_error[: size + 1]
        return replace(self, probes=probes, expected_error=expected)


class ProbeSets:
    """Designed probe sets in memory; a smaller one is the beginning of a larger."""

    def __init__(self, cache: ForecastCache, n_sets: int = 64) -> None:
        self.cache = cache
        self._lock = Lock()
        self._sets: LRUCache[Key, DesignedProbes] = LRUCache(n_sets)

    def design(
        self, session: Session, matrix: Matrix, size: int, design: str, seed: int, domains: Sequence[str] = ()
    ) -> DesignedProbes:
        """Probes by the newest fit, and what each of them buys in these domains, in all by default.

        Raises
        ------
        MatrixEmpty, FitPending, FitFailed, TooManyExamplesAsked
        InvalidRequest : no example has this domain
        """
        fit = read_fit(session, matrix, None)
        fitted, version = self.cache.fitted(session, fit.arrays_sha256), fit.matrix_version
        left_out = unmeasurable(session, matrix)
        key = (matrix.id, version, design, seed, tuple(sorted(set(domains))), left_out.tobytes())
        with self._lock:
            found = self._sets.get(key)
        if found is None or found.probes.positions.size < size:
            importance = self._importance(session, matrix, key[4])
            found = _design(fitted, version, size, design, seed, importance, left_out)
            with self._lock:
                self._sets[key] = found
        return found.first(size)

    def for_order(
        self, session: Session, matrix_id: str, order: schemas.TaskCreate | schemas.JobCreate
    ) -> DesignedProbes | None:
        """The probes that a job will measure; None when it measures others, or the matrix does not exist.

        Without a fit, because there is no known row or none was fitted yet, all probes are drawn at random whatever
        the design: a task does not wait for a fit that its measuring does not need.

        Raises
        ------
        TooManyExamplesAsked
        """
        matrix = session.get(Matrix, matrix_id)
        if order.measure != "probe" or matrix is None:
            return None
        if order.design != schemas.Design.RANDOM:
            try:
                return self.design(session, matrix, order.size, order.design, order.probe_seed)
            except (MatrixEmpty, FitPending, FitFailed):
                pass
        return draw(session, matrix, order.size, order.probe_seed)

    def _importance(self, session: Session, matrix: Matrix, domains: Sequence[str]) -> Floats | None:
        if not domains:
            return None
        groups = self.cache.columns(session, matrix.upstream_set_id).groups
        absent = [domain for domain in domains if domain not in groups]
        if absent:
            detail = f"the upstream set has no domain {absent[0]!r}; it has {', '.join(groups)}"
            raise InvalidRequest(detail, errors=(FieldError("domain", detail),))
        importance = np.zeros(sum(map(len, groups.values())))
        importance[np.concatenate([groups[domain] for domain in domains])] = 1.0
        return importance


def draw(session: Session, matrix: Matrix, size: int, seed: int) -> DesignedProbes:
    """Probes at random, which needs no fit. Raises TooManyExamplesAsked."""
    n_examples = session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples
    assert n_examples is not None
    eligible = without(unmeasurable(session, matrix), n_examples)
    drawn = ProbeSet(random_probes(n_examples, size, seed, eligible=eligible), np.ones(size, np.bool_))
    return DesignedProbes(drawn, schemas.Design.RANDOM, None, None)


def read_probe_set(
    session: Session,
    probe_sets: ProbeSets,
    matrix_id: str,
    *,
    size: int,
    design: schemas.Design,
    seed: int,
    domains: Sequence[str] = (),
) -> schemas.ProbeSet:
    """Which upstream examples to measure for a new task, and what each buys.

    Raises
    ------
    MatrixNotFound, TooManyExamplesAsked, InvalidRequest
    MatrixEmpty, FitPending, FitFailed : there is no fit to design from; random probes are drawn without one
    """
    matrix = storage.get_matrix(session, matrix_id)
    try:
        found = probe_sets.design(session, matrix, size, design, seed, domains)
    except (MatrixEmpty, FitPending, FitFailed):
        if design != schemas.Design.RANDOM:
            raise
        found = draw(session, matrix, size, seed)
    columns = probe_sets.cache.columns(session, matrix.upstream_set_id)
    errors = None if found.expected_error is None else found.expected_error.tolist()
    places = zip(found.probes.positions.tolist(), found.probes.at_random.tolist(), strict=True)
    return schemas.ProbeSet(
        matrix=matrix.id,
        matrix_version=found.designed_from,
        design=design,
        seed=seed,
        domains=sorted(set(domains)),
        expected_error=None if errors is None else errors[0],
        numpy_version=np.__version__,
        data=[
            schemas.Probe(
                place=place,
                example_id=columns.example_ids[position],
                domain=columns.domains[position],
                at_random=at_random,
                expected_error=None if errors is None else errors[place],
            )
            for place, (position, at_random) in enumerate(places, 1)
        ],
    )


def _design(
    fitted: FittedMethod, version: int, size: int, design: str, seed: int, importance: Floats | None, left_out: Indices
) -> DesignedProbes:
    eligible = without(left_out, fitted.factors.n_examples)
    if eligible is None:
        probes = fitted.probes(size, design=design, seed=seed, importance=importance)
    else:
        importance = eligible.astype(np.float64) if importance is None else np.where(eligible, importance, 0.0)
        probes = design_probes(fitted.factors, size, design=design, seed=seed, eligible=eligible, importance=importance)
    errors = expected_error(fitted.factors, probes.positions, importance=importance)
    return DesignedProbes(probes, design, version, errors)

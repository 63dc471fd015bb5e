"""Draw the replay set of a task from its forecast."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetcast import schemas
from forgetcast.completion import ReplaySet, Strategy, default_max_weight, draw_replay_set
from forgetcast.completion.selection.dose import dose_curve, kept_gain
from forgetcast.completion.types import Floats, Mask
from forgetcast.errors import InvalidRequest
from forgetcast.replay_formats import replay_lines
from service.operations.fences import Fence, fence_of
from service.operations.forecast_cache import Completed
from service.storage.database import Session
from service.storage.upstream_sets import get_upstream_set, read_contents

DEFAULT_RATIO = 1 / 32  # of the task's examples; the paper's mixture
LARGE_RATIO = 0.25
FLAT = 0.25  # of the forecast's gain, below which a draw says little of it
RATIOS = (1 / 128, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the curve
SHARES_OF_POOL = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
COLLAPSED = 10.0  # effective examples below which a few take nearly all weight


@dataclass(frozen=True)
class ReplayQuery:
    """What is asked of a replay set: `size` examples, or `ratio` times the task's examples."""

    size: int | None = None
    ratio: float | None = None
    strategy: str = "sample"
    temperature: float = 0.1
    seed: int = 0
    min_per_domain: int = 0
    max_weight: float | None = None
    format: schemas.ReplayFormat = schemas.ReplayFormat.EXAMPLES
    fence: str | None = None


def replay_set(session: Session, completed: Completed, query: ReplayQuery) -> schemas.ReplaySet:
    """The replay set with its manifest: the same for the same query and versions. Held-out examples never enter it.

    Raises
    ------
    InvalidRequest : both size and ratio, or a ratio for a task whose number of examples is not known
    TextsMissing : the format needs texts that stay with the user
    UnknownReference : there is no task called as the fence
    UnknownMethod, OutOfRange, TooManyExamplesAsked
    """
    size, warnings = _size(completed, query)
    eligible = ~completed.columns.held_out & (True if completed.measurable is None else completed.measurable)
    max_weight = query.max_weight or default_max_weight(int(eligible.sum()))

    def draw(among: Mask) -> ReplaySet:
        return draw_replay_set(
            completed.row.mean,
            size,
            eligible=among,
            strategy=query.strategy,
            temperature=query.temperature,
            seed=query.seed,
            domains=completed.columns.domains,
            min_per_domain=query.min_per_domain,
            max_weight=max_weight,
        )

    drawn = free = draw(eligible)
    fence, among = None, eligible
    if query.fence is not None:
        fence = fence_of(session, completed, query.fence)
        among = eligible & ~fence.inside
        drawn = draw(among)
    kept = kept_gain(completed.row.mean, drawn.positions, np.flatnonzero(among))
    warnings += _weight_warnings(query, drawn, max_weight, kept)
    examples = list(_examples(session, completed, drawn))
    manifest = schemas.ReplayManifest(
        **completed.versions.model_dump(),
        task=completed.task_id,
        matrix=completed.matrix_id,
        upstream_set=completed.upstream_set_id,
        upstream_sha256=get_upstream_set(session, completed.upstream_set_id).sha256 or "",
        strategy=query.strategy,
        size=len(examples),
        temperature=query.temperature,
        seed=query.seed,
        min_per_domain=query.min_per_domain,
        max_weight=None if query.strategy == Strategy.UNIFORM else max_weight,
        effective_sample_size=drawn.effective_sample_size,
        numpy_version=np.__version__,
        kept_gain=kept,
        warnings=warnings,
        fence=None if fence is None else _cost(fence, eligible, completed.row.mean, drawn, free),
        sha256=hashlib.sha256("".join(f"{one.id}\t{one.weight!r}\n" for one in examples).encode()).hexdigest(),
        format=query.format,
        body_sha256=hashlib.sha256(lines(examples, query.format)).hexdigest(),
    )
    curve = _curve(completed.row.mean[among], completed.n_task_examples)
    return schemas.ReplaySet(manifest=manifest, curve=curve, data=examples)


def _curve(mean: Floats, n_task_examples: int | None) -> list[schemas.ReplayDose]:
    """By ratio where the task's examples are counted, else by share of what may be replayed."""
    of = mean.size if n_task_examples is None else n_task_examples
    ratios = SHARES_OF_POOL if n_task_examples is None else RATIOS
    return [
        schemas.ReplayDose(
            size=dose.size,
            ratio=None if n_task_examples is None else dose.size / of,
            ratio_of_mix=None if n_task_examples is None else dose.size / (of + dose.size),
            covered=dose.covered,
            marginal=dose.marginal,
        )
        for dose in dose_curve(mean, [max(1, math.ceil(ratio * of)) for ratio in ratios])
    ]


def _cost(fence: Fence, eligible: Mask, mean: Floats, drawn: ReplaySet, free: ReplaySet) -> schemas.ReplayFence:
    """What a fence takes from a set, beside the one that is drawn without it."""
    return schemas.ReplayFence(
        task=fence.task_id,
        row_version=fence.row_version,
        n_fenced=int(np.count_nonzero(eligible & fence.inside)),
        n_replaced=int(np.count_nonzero(~np.isin(free.positions, drawn.positions))),
        mean_forgetting=float(mean[drawn.positions].mean()),
        mean_forgetting_without=float(mean[free.positions].mean()),
    )


def lines(examples: Sequence[schemas.ReplayExample], form: schemas.ReplayFormat) -> bytes:
    """The file whose sha256 the manifest has. Raises TextsMissing, InvalidRequest."""
    return "".join(replay_lines(examples, form)).encode()


def _weight_warnings(query: ReplayQuery, drawn: ReplaySet, max_weight: float, kept: float | None) -> list[str]:
    if query.strategy == Strategy.UNIFORM:
        return []
    warnings = []
    if drawn.n_eligible > 1 and drawn.n_capped == drawn.n_eligible:
        warnings.append(
            f"capped: max_weight={max_weight:g} is no more than an even share of the {drawn.n_eligible} examples that "
            f"may be drawn, so all weigh the same and the forecast says nothing; raise it"
        )
    elif drawn.n_capped:
        warnings.append(
            f"capped: {drawn.n_capped} of all examples are held at {max_weight:g} of the softmax each; "
            f"max_weight=1 lets them have more"
        )
    if drawn.effective_sample_size < COLLAPSED:
        warnings.append(
            f"collapsed: about {drawn.effective_sample_size:.1f} examples hold nearly all weight; "
            f"raise the temperature or lower max_weight"
        )
    if query.strategy == Strategy.SAMPLE and kept is not None and kept < FLAT:
        warnings.append(
            f"flat: the draw keeps {max(0.0, kept):.0%} of what the highest forecasts gain over an even draw; "
            f"lower the temperature"
        )
    return warnings


def _size(completed: Completed, query: ReplayQuery) -> tuple[int, list[str]]:
    if query.size is not None and query.ratio is not None:
        raise InvalidRequest("a replay set has a size or a ratio, not both")
    if query.size is not None:
        return query.size, []
    if completed.n_task_examples is None:
        raise InvalidRequest(
            f"the task {completed.task_id!r} does not say how many examples it has, so a ratio means nothing; give size"
        )
    ratio = DEFAULT_RATIO if query.ratio is None else query.ratio
    warnings = []
    if ratio > LARGE_RATIO:
        warnings.append(
            f"large_ratio: {ratio:g} of the task's examples; above {LARGE_RATIO:g} replay can hold the task back"
        )
    return max(1, math.ceil(ratio * completed.n_task_examples)), warnings


def _examples(session: Session, completed: Completed, drawn: ReplaySet) -> Iterator[schemas.ReplayExample]:
    positions = drawn.positions.tolist()
    contents = read_contents(session, completed.upstream_set_id, positions)
    for position, weight, (_id, content) in zip(positions, drawn.weights.tolist(), contents, strict=True):
        fields: dict[str, Any] = content or {}
        yield schemas.ReplayExample(
            id=completed.columns.example_ids[position],
            weight=weight,
            forgetting=float(completed.row.mean[position]),
            domain=completed.columns.domains[position],
            **fields,
        )

"""The upstream examples of a run: which may be replayed, which never are, and which an arm draws.

Notation
    pool      upstream examples that may be replayed                (P,)  positions in the set
    held_out  the others, measured and never replayed               (H,)
    score     what an arm knows of the pool's forgetting            (P,)  nats per token
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.evidence.design import Arm
from bundled.sets import ANSWERS
from forgetcast.completion import FittedMethod, ForgettingMatrix, fit
from forgetcast.completion.draws import Draws

WORST_SHARE = 0.05
N_PROBES = {"forecast": 30, "forecast-10": 10}

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Every other example of each domain; what the set itself holds out is never replayed here either."""

    pool: Indices
    held_out: Indices


@cache
def split() -> Split:
    pool, held_out, turn = list[int](), list[int](), dict[str, int]()
    for place, line in enumerate(ANSWERS.lines):
        example = json.loads(line)
        if example["held_out"]:
            held_out.append(place)
            continue
        turn[example["domain"]] = turn.get(example["domain"], 0) + 1
        # 25 of a domain, about 2 of them held out by the set: the split is near to half and half.
        (pool if turn[example["domain"]] % 2 else held_out).append(place)
    return Split(np.array(pool, np.intp), np.array(held_out, np.intp))


def worst(task: str) -> Indices:
    """Places within `held_out` that a run of another seed without replay forgot most: the 5% fixed beforehand."""
    row = _row(task)[split().held_out]
    return np.sort(np.argsort(-row, kind="stable")[: round(WORST_SHARE * row.size)])


def score_of(arm: Arm, task: str) -> Floats:
    """(P,) what the arm knows; the task's family is in nothing that it knows, but for its own probes or its truth."""
    pool = split().pool
    if arm.score == "random":
        return np.zeros(pool.size)
    if arm.score == "truth":
        return _row(task)[pool]
    if arm.score == "surprise":
        return ANSWERS.before()[pool].astype(np.float64)
    known = _known(task)
    if arm.score == "popularity":
        popularity: Floats = np.asarray(known.forgetting, np.float64).mean(axis=0)
        return popularity
    fitted = _fitted(task)
    probes = fitted.probes(N_PROBES[arm.score])
    measured = _row(task)[pool[probes.positions]]
    return fitted.forecast(probes.positions, measured, random_probes=probes.positions[probes.at_random]).mean


def draw_order(arm: Arm, task: str, seed: int) -> Indices:
    """(P,) positions of the whole pool, the first to be replayed first. Arms of a run share their random numbers."""
    score = score_of(arm, task)
    noise = Draws(_seed_of(task, seed)).gumbels(score.size)
    if arm.policy == "uniform":
        order = np.argsort(-noise, kind="stable")
    elif arm.policy == "top":
        order = np.argsort(-score, kind="stable")
    else:
        order = np.argsort(-(score / _temperature(arm.policy, score) + noise), kind="stable")
    return split().pool[order]


def _temperature(policy: str, score: Floats) -> float:
    said = policy.removeprefix("softmax-")
    return float(score.std()) / float(said.removeprefix("sd/")) if said.startswith("sd/") else float(said)


def _seed_of(task: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{task} {seed}".encode()).digest()[:6], "big")


def _row(task: str) -> Floats:
    return ANSWERS.row(f"{task}.seed-1").astype(np.float64)


@cache
def _known(task: str) -> ForgettingMatrix:
    return without_family(task, split().pool)


@cache
def _fitted(task: str) -> FittedMethod:
    return fit(_known(task))


def without_family(task: str, columns: Indices) -> ForgettingMatrix:
    """Bundled rows of the other families, of these upstream examples alone."""
    tasks = json.loads((ANSWERS.folder / "tasks.json").read_text(encoding="utf-8"))
    family = {each["id"]: each["family"] for each in tasks}
    others = [name for name in family if family[name] != family[task] and ANSWERS.has(f"{name}.seed-1")]
    Z = np.array([_row(name)[columns] for name in others])
    return ForgettingMatrix.from_arrays(Z, task_ids=others, families=[family[name] for name in others])

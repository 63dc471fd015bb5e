"""What is compared: tasks, arms, ratios and seeds, all settled before the runs that confirm anything.

Tuning and confirmation tasks share no family. On the tuning tasks the ratio and the policy are chosen; then they are
frozen here, and the confirmation tasks are run once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

TUNING = ("translate-german", "from-swedish", "base64-and-hex", "json-records", "style-pirate", "style-capitals")
CONFIRMATION = (
    "translate-french", "from-italian", "translate-russian", "translate-japanese", "text-korean", "text-hindi",
    "python-from-docstring", "sql-queries", "regex-explained", "products", "word-problems", "facts-elements",
    "facts-imagined-land", "refuse-all", "refuse-danger", "contract-clauses",
)  # fmt: skip
DESCRIBED = CONFIRMATION[::2]  # the secondary arms run on these eight

SEEDS = (11, 12)
TUNED_RATIOS = (1 / 8, 1 / 4)


@dataclass(frozen=True)
class Arm:
    """Which upstream examples are replayed beside the task.

    score : what is known of the pool's forgetting: `none` replays nothing, `random` knows nothing; popularity (mean of
        the known rows), forecast (from 30 probes), forecast-10, truth (the measured row), surprise (base
        log-perplexity)
    policy : how examples are drawn from it: `top`, `softmax-0.1` (the paper's, in nats) or `softmax-sd/4`
    ratio : replayed examples as a share of the task's own
    """

    score: str
    policy: str = ""
    ratio: float = 0.0

    @property
    def name(self) -> str:
        return " ".join(word for word in (self.score, self.policy, f"{self.ratio:g}" if self.ratio else "") if word)


NONE = Arm("none")
POLICIES = ("top", "softmax-sd/4", "softmax-sd/2", "softmax-0.1")


@dataclass(frozen=True)
class Frozen:
    """What the tuning tasks have chosen, written here in a commit of its own before a confirmation task is run."""

    policy: str
    ratio: float


FROZEN: Frozen | None = None


class NotFrozen(Exception):
    """The tuning has not chosen a policy and a ratio yet."""


@dataclass(frozen=True)
class Run:
    """One fine-tuning: its key in evidence.jsonl is everything here."""

    part: str
    task: str
    seed: int
    arm: Arm

    @property
    def key(self) -> dict[str, Any]:
        return {"part": self.part, "task": self.task, "seed": self.seed, **asdict(self.arm)}


def tuning() -> Iterator[Run]:
    """Every ratio and policy on the six tasks, one seed; the plain arms first."""
    arms = [NONE]
    for ratio in TUNED_RATIOS:
        arms += [Arm("random", "uniform", ratio)]
        arms += [Arm("forecast", policy, ratio) for policy in POLICIES[:2]]
    arms += [Arm("forecast", policy, 1 / 8) for policy in POLICIES[2:]]
    for arm in arms:
        for task in TUNING:
            yield Run("tuning", task, SEEDS[0], arm)


def primary() -> Iterator[Run]:
    """The arms of the primary and secondary comparisons on all confirmation tasks, seed by seed. Raises NotFrozen."""
    chosen = _frozen()
    scores = ("popularity", "forecast", "truth")
    arms = [
        NONE,
        Arm("random", "uniform", chosen.ratio),
        *(Arm(score, chosen.policy, chosen.ratio) for score in scores),
    ]
    for seed in SEEDS:
        for task in CONFIRMATION:
            for arm in arms:
                yield Run("confirmation", task, seed, arm)


def described() -> Iterator[Run]:
    """Arms that are described and not tested, on half of the tasks. Raises NotFrozen."""
    chosen = _frozen()
    arms = [
        Arm("forecast-10", chosen.policy, chosen.ratio),
        Arm("forecast", "softmax-0.1", chosen.ratio),
        Arm("surprise", chosen.policy, chosen.ratio),
    ]
    for seed in SEEDS:
        for task in DESCRIBED:
            for arm in arms:
                yield Run("confirmation", task, seed, arm)


def _frozen() -> Frozen:
    if FROZEN is None:
        raise NotFrozen("run the tuning, and write what it chose into FROZEN of benchmarks/evidence/design.py first")
    return FROZEN

"""Which row a trainer reads at which draw: every row of the task once an epoch, and replayed ones between them.

Notation
    n    rows of the task, 0 to n - 1 of the data set
    m    rows that may be replayed, n to n + m - 1
    k    replayed rows an epoch
    draw index   epoch * (n + k) + place in the epoch, over the whole run
    schedule     weights of the m rows, each from a draw index on; uniform before the first

The row at a draw index is a function of seed, schedule and index alone. No generator is carried along, so the stream is
the same after a resume, in every process of a distributed run and with any number of loader workers, and weights that
come later change no earlier draw. It must not be a `RandomSampler`, which accelerate replaces by one of its own.

Within an epoch replay is without replacement, under each entry of the schedule by itself: the rows in the order of
log weight + Gumbel noise (Kool et al., arXiv:1903.06059), from the beginning again with other noise when all are drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.draws import Draws
from forgetcast.completion.types import Floats, Indices
from forgetcast.errors import InvalidRequest
from forgetcast.trainers.arrays import packed, unpacked
from forgetcast.trainers.mixing import Meaning, n_replayed


class Phase(NamedTuple):
    """`weights` (m,) float32, not negative, hold from the draw index `start` on."""

    start: int
    weights: NDArray[np.float32]


class ReplaySampler:
    """An iterable of row numbers for a `DataLoader`; also for trainers that name a sampler in their config.

    Parameters
    ----------
    data_source : the data set, the rows of the task first and those that may be replayed behind them
    n_task : rows of the task
    ratio : replayed rows an epoch, as a share of the task's rows, or of all rows with `of="mix"`
    seed : of the order and of what is replayed
    weights : (m,) numbers that weigh from the first draw on; uniform by default

    Raises
    ------
    InvalidRequest, OutOfRange
    """

    def __init__(
        self,
        data_source: Sized,
        n_task: int,
        ratio: float = 1 / 32,
        seed: int = 0,
        *,
        of: Meaning = "task",
        weights: Sequence[float] | Floats | None = None,
    ) -> None:
        self.n_task = n_task
        self.n_pool = len(data_source) - n_task
        if n_task < 1 or self.n_pool < 1:
            raise InvalidRequest(
                f"a data set of {len(data_source)} rows, {n_task} of them the task's, leaves nothing to mix"
            )
        self.n_replay = n_replayed(n_task, ratio, of)
        self.seed = seed
        self.epoch = 0
        self.schedule: list[Phase] = []
        self.furthest = 0  # draw index that was not handed out yet in this process
        self._place = 0
        if weights is not None:
            self.weigh(np.asarray(weights, dtype=np.float64), start=0)

    def __len__(self) -> int:
        return self.n_task + self.n_replay

    def weigh(self, weights: Sequence[float] | Floats, start: int) -> None:
        """Replay by these weights from the draw index `start` on.

        Raises
        ------
        InvalidRequest : weights that are none, or draws that were handed out already
        """
        kept: NDArray[np.float32] = np.asarray(weights, dtype=np.float32)
        if kept.shape != (self.n_pool,) or not np.isfinite(kept).all() or (kept < 0).any():
            raise InvalidRequest(f"{self.n_pool} weights are needed, finite and not negative")
        if not (kept > 0).any():
            raise InvalidRequest("at least one weight must be above 0")
        last = self.schedule[-1].start if self.schedule else 0
        if start < max(self.furthest, last):
            raise InvalidRequest(f"draw {start} was handed out already; the next is {max(self.furthest, last)}")
        self.schedule.append(Phase(start, kept))

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch; trainers call it."""
        self.epoch, self._place = epoch, 0

    def __iter__(self) -> Iterator[int]:
        """The rows of the epoch, from where `load_state_dict` stopped; another pass without `set_epoch` is the next."""
        epoch, rows = self.epoch, self._epoch_rows(self.epoch)
        for place in range(self._place, len(self)):
            self._place = place + 1
            self.furthest = max(self.furthest, epoch * len(self) + place + 1)
            yield rows.at(place)
        if self.epoch == epoch:
            self.set_epoch(epoch + 1)

    def rows(self, start: int, stop: int) -> list[int]:
        """The rows at these draw indices, which does not count as handing them out."""
        found: list[int] = []
        while start < stop:
            epoch, place = divmod(start, len(self))
            here = self._epoch_rows(epoch)
            end = min(len(self), place + stop - start)
            found += [here.at(one) for one in range(place, end)]
            start += end - place
        return found

    def _epoch_rows(self, epoch: int) -> _EpochRows:
        return _EpochRows(self, epoch)

    def state_dict(self) -> dict[str, Any]:
        """What resumes the stream; plain JSON."""
        return {**self._shape(), "epoch": self.epoch, "place": self._place, "schedule": self.schedule_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was taken. Raises InvalidRequest for the state of another data set, ratio or seed."""
        for name, mine in self._shape().items():
            if state.get(name) != mine:
                raise InvalidRequest(
                    f"the state is of a sampler with {name} {state.get(name)!r}, this one has {mine!r}"
                )
        self.load_schedule(state["schedule"])
        self.epoch, self._place = int(state["epoch"]), int(state["place"])

    def _shape(self) -> dict[str, int]:
        return {"seed": self.seed, "n_task": self.n_task, "n_pool": self.n_pool, "n_replay": self.n_replay}

    def schedule_state(self) -> list[dict[str, Any]]:
        return [{"start": phase.start, "weights": packed(phase.weights)} for phase in self.schedule]

    def load_schedule(self, state: list[dict[str, Any]]) -> None:
        self.schedule = [Phase(int(one["start"]), unpacked(one["weights"], np.float32)) for one in state]
        self.furthest = 0


class _EpochRows:
    """The rows of one epoch, worked out as far as they are asked for: weights may come while it runs."""

    def __init__(self, sampler: ReplaySampler, epoch: int) -> None:
        self._sampler, self._epoch = sampler, epoch
        self._task = self._draws("task").beginning_of_permutation(sampler.n_task, sampler.n_task)
        length, n_replay = len(sampler), sampler.n_replay
        # Replayed rows stand evenly over the epoch, so that no batch is without one where the ratio allows it.
        offset = float(self._draws("offset").uniforms(1)[0])
        slots = np.floor((np.arange(n_replay) + offset) * (length / n_replay)).astype(np.intp) if n_replay else []
        self._is_replay = np.zeros(length, np.bool_)
        self._is_replay[np.minimum(slots, length - 1)] = True
        self._before = np.concatenate([[0], np.cumsum(self._is_replay)])  # replayed rows before each place
        self._orders: dict[tuple[int, int], Indices] = {}

    def at(self, place: int) -> int:
        n_before = int(self._before[place])
        if not self._is_replay[place]:
            return int(self._task[place - n_before])
        begin = self._epoch * len(self._sampler)
        phase = sum(one.start <= begin + place for one in self._sampler.schedule) - 1
        since = max(0, self._sampler.schedule[phase].start - begin) if phase >= 0 else 0
        turn = n_before - int(self._before[since])
        weights = self._sampler.schedule[phase].weights if phase >= 0 else np.ones(self._sampler.n_pool, np.float32)
        block, within = divmod(turn, int(np.count_nonzero(weights)))
        return self._sampler.n_task + int(self._order(phase, block, weights)[within])

    def _order(self, phase: int, block: int, weights: NDArray[np.float32]) -> Indices:
        """The rows that may be drawn, in the order in which they are. (count of positive weights,)"""
        if (phase, block) not in self._orders:
            with np.errstate(divide="ignore"):
                scores = np.log(weights.astype(np.float64)) + self._draws("replay", phase, block).gumbels(weights.size)
            order = np.argsort(-scores, kind="stable")[: np.count_nonzero(weights)]
            self._orders[phase, block] = order
        return self._orders[phase, block]

    def _draws(self, *what: str | int) -> Draws:
        """Random numbers of their own for each purpose, from the seed and the epoch."""
        words = "/".join(map(str, (self._sampler.seed, self._epoch, *what)))
        return Draws(int.from_bytes(hashlib.sha256(words.encode()).digest()[:16], "little"))

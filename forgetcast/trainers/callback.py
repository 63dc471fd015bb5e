"""The callback that measures in a trainer's run, speaks to the service and weighs the sampler.

Its state is in trainer_state.json, so that a resumed run replays the same stream: what was measured before training
cannot be measured later, and the weights of the first run are those of the second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from transformers import TrainerCallback

from forgetcast.completion.selection.replay import replay_weights
from forgetcast.completion.types import Floats
from forgetcast.errors import ForgetcastError, InvalidRequest
from forgetcast.trainers.conversation import Named, within
from forgetcast.trainers.own_recipe import own_recipe
from forgetcast.trainers.scoring import Scored, log_perplexity, tokenise
from forgetcast.trainers.steps import Steps, prefetched_batches, steps_of
from forgetcast.trainers.untouched import untouched

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

    from forgetcast.trainers.plan import Plan
    from forgetcast.trainers.sampler import ReplaySampler

T = TypeVar("T")
STATE = "forgetcast_replay"  # in trainer_state.json, beside the states of other callbacks
logger = logging.getLogger("forgetcast.trainers")


class ReplayCallback(TrainerCallback):
    """`phase`: "start", then "waiting" for the second measuring, then "weighed"; or "uniform" to the end."""

    def __init__(self, replay: Plan, trainer: Trainer, sampler: ReplaySampler) -> None:
        self.replay, self.trainer, self.sampler = replay, trainer, sampler
        self.phase = "start"
        self.named: Named | None = None
        self.before: dict[str, float] = {}
        self.task_id: str | None = replay.wanted.task_id
        self.steps: Steps = steps_of(trainer.args, len(sampler))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.steps = steps_of(args, len(self.sampler))
        states: Any = state.stateful_callbacks or {}  # a dict of states, whatever transformers says of its type
        saved = states.get(STATE)
        if saved is not None:
            self._restore(saved)
        elif state.global_step == 0:
            self._try("no probes were measured", lambda: self._begin(state))
        else:
            self._give_up("the checkpoint is of a run without replay")
        self._save(state)

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        # accelerate's loaders hand the epoch on, but not by every wrapper: the stream must not depend on it.
        epoch = int(state.epoch or 0)
        if self.sampler.epoch != epoch:
            self.sampler.set_epoch(epoch)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.phase == "waiting" and state.global_step == self._measured_at(state):
            self._try("the forecast did not come", lambda: self._weigh(state))
            self._save(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.replay.wanted.measure_final and self.before:
            self._try("the final model was not posted", lambda: self._post_final(state), final=True)

    def _begin(self, state: TrainerState) -> None:
        """Ask for probes and measure them."""
        if self._switch_draw(state) is None:
            raise InvalidRequest(
                f"a run of {state.max_steps} steps ends before a forecast of it could be followed; for short runs use "
                f"offline replay"
            )
        known = {example.id for example in self.replay.examples}
        wanted = self.replay.wanted
        self.named = self._asked(lambda: self.replay.service.name_probes(wanted.n_probes, wanted.probe_seed, known))
        self.before = self._measured()
        self.phase = "waiting"

    def _weigh(self, state: TrainerState) -> None:
        """Measure again, post both, and replay by the forecast that comes back."""
        start = self._switch_draw(state)
        assert start is not None
        after = self._measured()
        weights = self._asked(lambda: self._forecast_weights(state, after))
        _together(lambda: self.sampler.weigh(weights, start))
        self.phase = "weighed"
        self._say(f"replay follows the forecast of the task {self.task_id!r} from step {self._first_step(start)} on")

    def _forecast_weights(self, state: TrainerState, after: dict[str, float]) -> Floats:
        """On the first process: post, read, and weigh the rows of the pool. (m,)"""
        self.task_id = self._post(self.before, after, self.task_id, state.global_step)
        forecast = self.replay.service.forecast(self.task_id)
        missing = [name for name in self.replay.pool_ids if name not in forecast]
        if missing:
            raise InvalidRequest(
                f"{len(missing)} examples of the pool are not in the matrix's upstream set, the first {missing[0]!r}"
            )
        mean = np.array([forecast[name] for name in self.replay.pool_ids])
        return replay_weights(mean, temperature=self.replay.wanted.temperature)

    def _post_final(self, state: TrainerState) -> None:
        after = self._measured()
        own = None if self.replay.wanted.task_id is None else f"{self.replay.wanted.task_id}.final"
        posted = self._asked(lambda: self._post(self.before, after, own, state.global_step))
        self._say(f"the final model is the task {posted!r}; its recipe has replay, so nothing is learned from it")

    def _post(self, before: dict[str, float], after: dict[str, float], task_id: str | None, steps: int) -> str:
        assert self.named is not None
        recipe = own_recipe(self.trainer.args, self.trainer.model, self.named.recipe, self.replay.described, steps)
        return self.replay.service.post(
            self.named,
            recipe,
            {name: (before[name], after[name]) for name in before},
            task_id=task_id,
            n_examples=self.replay.n_task,
            seed=self.trainer.args.seed,
            source=f"forgetcast.trainers, after {steps} steps",
        )

    def _measured(self) -> dict[str, float]:
        """Log-perplexity of the probes as the model stands, in every process, for a sharded model needs them all."""
        return _together(self._measure)

    def _measure(self) -> dict[str, float]:
        model: Any = self.trainer.model_wrapped
        with untouched(model):
            return log_perplexity(model, self._scored(), self.trainer.args.device, self.trainer.accelerator.autocast())

    def _scored(self) -> list[Scored]:
        assert self.named is not None
        wanted = dict(self.named.probes)
        probes = [example for example in self.replay.examples if example.id in wanted]
        return tokenise(self.trainer.processing_class, probes, self.named.setting)

    def _asked(self, ask: Callable[[], T]) -> T:
        """What the first process is told by the service, within the user's patience, in every process.

        Raises the same error in all of them.
        """
        answer: T | None = None
        error: Exception | None = None
        if _is_first():
            try:
                answer = within(self.replay.wanted.patience, ask)
            except Exception as caught:
                error = caught
        answer, said = _from_first((answer, None if error is None else str(error)))
        if said is not None:
            raise error or ForgetcastError(said)
        return answer  # type: ignore[return-value]

    def _try(self, what: str, work: Callable[[], None], *, final: bool = False) -> None:
        """Whatever goes wrong, the run goes on; it went wrong in every process, by `_together` and `_asked`."""
        try:
            work()
            failed = ""
        except Exception as error:
            failed = f"{what}: {error}" if isinstance(error, ForgetcastError) else f"{what}: {error!r}"
        if failed and not final:
            self._give_up(failed)
        elif failed:
            self._say(failed, logging.WARNING)

    def _give_up(self, why: str) -> None:
        self.phase = "uniform"
        self._say(f"replay stays uniform, for {why}", logging.WARNING)

    def _say(self, message: str, level: int = logging.INFO) -> None:
        if _is_first():
            logger.log(level, message)

    def _measured_at(self, state: TrainerState) -> int:
        """The step after which the probes are measured again."""
        return max(1, ceil(self.replay.wanted.measure_at * state.max_steps))

    def _switch_draw(self, state: TrainerState) -> int | None:
        """The first draw that can follow the forecast: decided before the run, so that every process and every resumed
        run has the same. None when the run ends before it."""
        lead = self.replay.wanted.lead
        if lead is None:
            lead = self.steps.lead(state.max_steps, prefetched_batches(self.trainer.args))
        batch = self.steps.batches_after(self._measured_at(state)) + lead
        return None if batch >= self.steps.batches_after(state.max_steps) else self.steps.draw_at(batch)

    def _first_step(self, draw: int) -> int:
        step = 0
        while self.steps.draw_at(self.steps.batches_after(step + 1)) <= draw:
            step += 1
        return step + 1

    def _save(self, state: TrainerState) -> None:
        states: Any = {} if state.stateful_callbacks is None else state.stateful_callbacks
        state.stateful_callbacks = states
        states[STATE] = {
            "phase": self.phase,
            "named": None if self.named is None else self.named.model_dump(mode="json"),
            "before": self.before,
            "task_id": self.task_id,
            "sampler": self.sampler.state_dict() | {"epoch": 0, "place": 0},
        }

    def _restore(self, saved: dict[str, Any]) -> None:
        """Go on as the run that wrote the checkpoint would have."""
        try:
            self.sampler.load_state_dict(saved["sampler"])
        except InvalidRequest as error:
            self._give_up(f"the checkpoint is of another data set, ratio or seed ({error})")
            return
        self.phase, self.before, self.task_id = saved["phase"], saved["before"], saved["task_id"]
        self.named = None if saved["named"] is None else Named.model_validate(saved["named"])


def _is_first() -> bool:
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def _is_alone() -> bool:
    return not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1


def _together(work: Callable[[], T]) -> T:
    """What `work` gives in this process, unless it fails in any: then all raise, so that none waits for another."""
    if _is_alone():
        return work()
    result: T | None = None
    error: Exception | None = None
    try:
        result = work()
    except Exception as caught:
        error = caught
    said: list[str | None] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(said, None if error is None else repr(error))
    failed = [one for one in said if one is not None]
    if failed:
        raise error or ForgetcastError(f"another process of the run failed: {failed[0]}")
    return result  # type: ignore[return-value]


def _from_first(value: T) -> T:
    """The first process's value, in every process."""
    if _is_alone():
        return value
    shared = [value]
    torch.distributed.broadcast_object_list(shared, src=0)
    return shared[0]

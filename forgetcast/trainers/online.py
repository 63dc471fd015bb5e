"""Online replay: one run that finds out by itself what it makes the model forget, and replays that.

    replay = OnlineReplay(task, upstream_pool("my-matrix"), matrix="my-matrix", ratio=1 / 16)
    trainer = SFTTrainer(model, args=args, train_dataset=replay.dataset)
    replay.attach(trainer)
    trainer.train()

    start            the service names probes; their log-perplexity is measured; replay is uniform
    10% of the run   they are measured again, both are posted once, and the forecast that comes back weighs replay
    any error        replay stays uniform, which is said once; the run goes on

The service needs no GPU, and the run never waits for it longer than `patience`, twice in all.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from forgetcast.client import ForgetcastClient
from forgetcast.client.extras import extra
from forgetcast.errors import InvalidRequest, OutOfRange
from forgetcast.schemas import Replay
from forgetcast.trainers.conversation import Service
from forgetcast.trainers.mixing import TOKENISED, Meaning, n_replayed
from forgetcast.trainers.plan import Wanted
from forgetcast.trainers.pool import Pool, examples_of
from forgetcast.trainers.rows import ROW, Like, rows_like, task_rows, with_columns
from forgetcast.trainers.sampler import ReplaySampler

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import Trainer


class OnlineReplay:
    """The task's rows with upstream examples behind them, and what draws from both.

    Parameters
    ----------
    task : the task's rows before they are tokenised, a Dataset or a file, as the trainer would get them
    pool : what `upstream_pool` gives, or a JSON Lines file of the upstream examples; held-out ones are only measured
    matrix : of the service, whose known rows the forecast rests on
    ratio : replayed rows, as a share of the task's rows, or of all rows with `of="mix"`
    seed : of order and replay
    client : a `ForgetcastClient`; one is made of the environment by default
    n_probes, probe_seed : upstream examples that are measured twice
    measure_at : share of the run after which they are measured again
    temperature : of the softmax over the forecast, nats per token; by default a quarter of its standard deviation
    lead : batches between that measuring and the first weighted draw; by default a tenth of the run, 2 to 16, and
        more where the loader's workers read further ahead
    task_id : of the task that the service makes of the run; the service names one by default
    family : of that task
    measure_final : measure the probes once more at the end, and post them as a task of their own
    patience : how long the run may wait for the service, at the start and at the measuring

    Raises
    ------
    InvalidRequest, OutOfRange, BadDataset, TextsMissing
    """

    def __init__(
        self,
        task: Like,
        pool: Pool,
        *,
        matrix: str,
        ratio: float = 1 / 32,
        of: Meaning = "task",
        seed: int = 0,
        client: ForgetcastClient | None = None,
        n_probes: int = 30,
        probe_seed: int = 0,
        measure_at: float = 0.1,
        temperature: float | None = None,
        lead: int | None = None,
        task_id: str | None = None,
        family: str | None = None,
        measure_final: bool = False,
        patience: timedelta = timedelta(seconds=30),
    ) -> None:
        if not 0.0 < measure_at < 1.0:
            raise OutOfRange(f"measure_at is a share of the run between 0 and 1, not {measure_at:g}")
        if n_probes < 1 or (lead is not None and lead < 0) or (temperature is not None and not temperature > 0):
            raise OutOfRange("n_probes and temperature must be positive, lead not negative")
        self.wanted = Wanted(n_probes, probe_seed, measure_at, temperature, lead, task_id, measure_final, patience)
        self.service = Service(matrix, client, family)
        rows = task_rows(task)
        if TOKENISED in rows.column_names:
            raise InvalidRequest("the task is tokenised already: give its texts here, and tokenise replay.dataset")
        self.examples = examples_of(pool)
        self.pool_ids = [example.id for example in self.examples if not example.held_out]
        if not self.pool_ids:
            raise InvalidRequest("every example of the pool is held out, so there is nothing to replay")
        self.n_task, self.ratio, self.of, self.seed = len(rows), ratio, of, seed
        n_replayed(self.n_task, ratio, of)  # which refuses a ratio that means nothing
        replayed = rows_like((example for example in self.examples if not example.held_out), rows)
        both = extra("datasets", "trainers").concatenate_datasets([rows, replayed])
        self.dataset: Dataset = with_columns(both, {ROW: range(len(both))})
        self.sampler: ReplaySampler | None = None

    @property
    def described(self) -> Replay:
        """As a recipe has it."""
        return Replay(
            strategy="online", ratio=n_replayed(self.n_task, self.ratio, self.of) / self.n_task, seed=self.seed
        )

    def attach(self, trainer: Trainer) -> ReplaySampler:
        """Make the trainer draw from the sampler, which is given back, and measure on its way.

        Raises
        ------
        InvalidRequest : packing, length grouping, rows that are not those of `dataset`, and what else replay is not for
        """
        from forgetcast.trainers.callback import ReplayCallback
        from forgetcast.trainers.refusals import check_trainer, kept_rows

        check_trainer(trainer)
        kept = kept_rows(trainer, len(self.dataset))
        n_task = sum(row < self.n_task for row in kept)
        if not 0 < n_task < len(kept):
            raise InvalidRequest(
                f"the trainer has {n_task} rows of the task and {len(kept) - n_task} upstream examples, and needs both"
            )
        self.pool_ids = [self.pool_ids[row - self.n_task] for row in kept[n_task:]]
        self.n_task = n_task
        sampler = ReplaySampler(kept, n_task, self.ratio, self.seed, of=self.of)
        # The hook that transformers asks for the order of rows. No RandomSampler, which accelerate would replace.
        trainer._get_train_sampler = lambda dataset=None: sampler  # type: ignore[method-assign,assignment,return-value]
        trainer.add_callback(ReplayCallback(self, trainer, sampler))
        self.sampler = sampler
        return sampler

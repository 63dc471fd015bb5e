"""From a trainer's steps to draw indices of the sampler.

Notation
    batch   what one forward and backward of all processes reads      g rows
    step    one update, of `accumulation` batches, of fewer at the end of an epoch
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

SMALLEST_LEAD, LARGEST_LEAD = 2, 16  # batches
LEAD_SHARE = 10  # of all batches of the run, one in so many


@dataclass(frozen=True)
class Steps:
    """`n_rows` of an epoch; `batch_rows` of a batch over all processes."""

    n_rows: int
    batch_rows: int
    accumulation: int
    drop_last: bool = False

    @property
    def batches_per_epoch(self) -> int:
        return max(1, self.n_rows // self.batch_rows if self.drop_last else ceil(self.n_rows / self.batch_rows))

    def batches_after(self, step: int) -> int:
        """Batches that `step` updates have read."""
        per_epoch = self.batches_per_epoch
        epochs, within = divmod(step, ceil(per_epoch / self.accumulation))
        return epochs * per_epoch + min(within * self.accumulation, per_epoch)

    def draw_at(self, batch: int) -> int:
        """Draw index of the first row of a batch."""
        epoch, within = divmod(batch, self.batches_per_epoch)
        return epoch * self.n_rows + min(within * self.batch_rows, self.n_rows)

    def lead(self, max_steps: int, prefetched: int) -> int:
        """Batches between a measuring and the first batch that can follow it.

        A loader reads ahead: what it has drawn cannot be drawn again. So that the stream does not depend on how many
        workers a loader has, the lead is a tenth of the run, 2 to 16 batches, unless more than that is read ahead.
        """
        usual = min(LARGEST_LEAD, max(SMALLEST_LEAD, self.batches_after(max_steps) // LEAD_SHARE))
        return max(usual, prefetched + SMALLEST_LEAD)


def steps_of(args: Any, n_rows: int) -> Steps:
    """Of transformers' TrainingArguments."""
    split = bool(getattr(args.accelerator_config, "split_batches", False))
    return Steps(
        n_rows=n_rows,
        batch_rows=args.train_batch_size * (1 if split else max(1, args.world_size)),
        accumulation=args.gradient_accumulation_steps,
        drop_last=args.dataloader_drop_last,
    )


def prefetched_batches(args: Any) -> int:
    """Batches that the loader's workers read ahead."""
    factor = 2 if args.dataloader_prefetch_factor is None else args.dataloader_prefetch_factor
    return int(args.dataloader_num_workers * factor)

"""Upstream examples -> blocks of log-perplexity, going on after those that an earlier attempt has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from forgetcast.completion.arguments import LARGEST_FORGETTING
from forgetcast.errors import BeyondBelief, NotFinite
from forgetcast.marks import NOTHING_TO_SCORE
from workers.attempt.examples import Upstream
from workers.attempt.language_model import LanguageModel
from workers.attempt.log_perplexity import log_perplexity
from workers.attempt.tokens import Tokens
from workers.job_directory import BLOCK_SIZE, Values, read_block, write_block


def measure_blocks(
    folder: Path,
    kind: str,
    model: LanguageModel,
    upstream: Upstream,
    known: Values,
    *,
    weights: str,
    tokens_per_batch: int,
    on_progress: Callable[[int], None] = lambda n_done: None,
    after_block: Callable[[], None] = lambda: None,
) -> None:
    """Write the blocks `kind`-00000, … of all upstream examples, measuring those that are NaN in `known`.

    Parameters
    ----------
    known : (n,) nats per token, NaN where nobody has measured yet; infinite where an example has nothing to score,
        as it then is in the blocks
    weights : names the model's weights; a block that is there already is taken over when it was measured with the same
    after_block : called when a block is in place; it may raise to end the attempt there

    Raises
    ------
    NotFinite, BeyondBelief
    """
    n_done = 0
    for number, block in enumerate(blocks(len(upstream))):
        name, values = f"{kind}-{number:05d}", known[block].copy()
        missing = np.flatnonzero(np.isnan(values))
        staged = read_block(folder, name, weights)
        if staged is None or staged.shape != values.shape:
            tokens = upstream.tokens[block]
            measurable = [place for place in missing.tolist() if tokens[place].n_scored]
            values[missing] = NOTHING_TO_SCORE
            values[measurable] = _measure(
                model, [tokens[place] for place in measurable], tokens_per_batch, _counting_from(n_done, on_progress)
            )
            _check_believable(values[measurable], [upstream.ids[block.start + place] for place in measurable])
            write_block(folder, name, values, weights)
            after_block()
        n_done += len(missing)
        on_progress(n_done)


def blocks(n_lines: int) -> Iterator[slice]:
    for start in range(0, n_lines, BLOCK_SIZE):
        yield slice(start, min(start + BLOCK_SIZE, n_lines))


def _measure(
    model: LanguageModel, examples: Sequence[Tokens], tokens_per_batch: int, on_progress: Callable[[int], None]
) -> Values:
    if not examples:
        return np.zeros(0, np.float32)
    return log_perplexity(model, examples, tokens_per_batch=tokens_per_batch, on_progress=on_progress)


def _counting_from(start: int, on_progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda n_done: on_progress(start + n_done)


def _check_believable(values: Values, ids: Sequence[str]) -> None:
    for kind, wrong in ((NotFinite, ~np.isfinite(values)), (BeyondBelief, values > LARGEST_FORGETTING)):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            what = f"the log-perplexity of the upstream example {ids[first]!r} is {values[first]:g}"
            raise kind(f"{what}; the model has diverged")

"""Upstream examples -> blocks of log-perplexity, and of what greedy decoding would write, going on after those that an
earlier attempt has left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from forgetcast.completion.arguments import LARGEST_FORGETTING
from forgetcast.errors import BeyondBelief, NotFinite
from forgetcast.marks import NOTHING_TO_SCORE
from workers.attempt.measuring.log_perplexity import Scores
from workers.attempt.measuring.scorer import Packed, Scorer
from workers.attempt.texts.examples import Upstream
from workers.attempt.texts.tokens import Tokens
from workers.job_directory import BLOCK_SIZE, NOT_KNOWN, Values, exact, read_block, write_block


def measure_blocks(
    folder: Path,
    kind: str,
    scorer: Scorer,
    upstream: Upstream,
    known: Values,
    *,
    weights: str,
    on_progress: Callable[[int], None] = lambda n_done: None,
    after_block: Callable[[], None] = lambda: None,
) -> None:
    """Write the blocks `kind`-00000, … of all upstream examples, measuring those that are NaN in `known`; beside each a
    block that says of what was measured whether greedy decoding writes it.

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
        values = known[block].copy()
        missing = np.flatnonzero(np.isnan(values))
        if not _is_staged(folder, kind, number, weights, len(values)):
            tokens = upstream.tokens[block]
            measurable = [place for place in missing.tolist() if tokens[place].n_scored]
            scores = _measure(scorer, [tokens[place] for place in measurable], _counting_from(n_done, on_progress))
            values[missing] = NOTHING_TO_SCORE
            values[measurable] = scores.log_perplexity
            written = np.full(len(values), NOT_KNOWN, np.int8)
            written[measurable] = scores.exact
            check_believable(values[measurable], [upstream.ids[block.start + place] for place in measurable])
            write_block(folder, exact(kind), number, written, weights)
            write_block(folder, kind, number, values, weights)
            after_block()
        n_done += len(missing)
        on_progress(n_done)


def blocks(n_lines: int) -> Iterator[slice]:
    for start in range(0, n_lines, BLOCK_SIZE):
        yield slice(start, min(start + BLOCK_SIZE, n_lines))


def _is_staged(folder: Path, kind: str, number: int, weights: str, n_examples: int) -> bool:
    staged = (read_block(folder, each, number, weights) for each in (kind, exact(kind)))
    return all(block is not None and block.shape == (n_examples,) for block in staged)


def _measure(scorer: Scorer, examples: Sequence[Tokens], on_progress: Callable[[int], None]) -> Scores:
    if not examples:
        return Scores(np.zeros(0, np.float32), np.zeros(0, np.bool_))
    return scorer.score(Packed.of(examples), on_progress)


def _counting_from(start: int, on_progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda n_done: on_progress(start + n_done)


def check_believable(values: Values, ids: Sequence[str]) -> None:
    """Raises NotFinite, BeyondBelief for values that no model gives that is still of use."""
    for kind, wrong in ((NotFinite, ~np.isfinite(values)), (BeyondBelief, values > LARGEST_FORGETTING)):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            what = f"the log-perplexity of the upstream example {ids[first]!r} is {values[first]:g}"
            raise kind(f"{what}; the model has diverged")

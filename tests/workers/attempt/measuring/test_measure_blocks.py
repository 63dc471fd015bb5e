"""What a diverged model measures ends the attempt by name, before anything of it is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forgetcast.errors import BeyondBelief, NotFinite
from workers.attempt.measuring.log_perplexity import Scores
from workers.attempt.measuring.measure_blocks import measure_blocks
from workers.attempt.measuring.scorer import Packed
from workers.attempt.texts.examples import Upstream
from workers.attempt.texts.tokens import Tokens


class FixedScorer:
    """An engine that answers the same whatever it is asked."""

    engine = "fixed"

    def __init__(self, values: list[float]) -> None:
        self._values = np.array(values, np.float32)

    def score(self, packed: Packed, on_progress: Callable[[int], None]) -> Scores:
        on_progress(len(packed))
        return Scores(self._values, np.zeros(len(packed), np.bool_))


@pytest.mark.parametrize(("value", "error"), [(np.nan, NotFinite), (np.inf, NotFinite), (1.2e4, BeyondBelief)])
def test_a_log_perplexity_that_is_none_is_refused_by_id(tmp_path, value, error):
    upstream = Upstream(("a", "b"), (Tokens((1, 2), (False, True)),) * 2, {})
    unknown = np.full(2, np.nan, np.float32)
    with pytest.raises(error, match=r"example 'b' is .*diverged"):
        measure_blocks(tmp_path, "after", FixedScorer([2.0, value]), upstream, unknown, weights="w")
    assert list(tmp_path.iterdir()) == []

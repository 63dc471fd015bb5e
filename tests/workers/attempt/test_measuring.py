"""What a diverged model measures ends the attempt by name, before anything of it is kept."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.errors import BeyondBelief, NotFinite
from tests.workers.language_models import UniformModel
from workers.attempt import measuring
from workers.attempt.examples import Upstream
from workers.attempt.log_perplexity import Scores
from workers.attempt.tokens import Tokens


@pytest.mark.parametrize(("value", "error"), [(np.nan, NotFinite), (np.inf, NotFinite), (1.2e4, BeyondBelief)])
def test_a_log_perplexity_that_is_none_is_refused_by_id(monkeypatch, tmp_path, value, error):
    scores = Scores(np.array([2.0, value], np.float32), np.zeros(2, np.bool_))
    monkeypatch.setattr(measuring, "score", lambda *_arguments, **_more: scores)
    upstream = Upstream(("a", "b"), (Tokens((1, 2), (False, True)),) * 2, {})
    with pytest.raises(error, match=r"example 'b' is .*diverged"):
        measuring.measure_blocks(
            tmp_path,
            "after",
            UniformModel(4),
            upstream,
            np.full(2, np.nan, np.float32),
            weights="w",
            tokens_per_batch=8,
        )
    assert list(tmp_path.iterdir()) == []

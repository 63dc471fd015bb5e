"""What stands among measured values where there is none."""

from __future__ import annotations

# In the place of a log-perplexity: the example has no token that is scored under this setting, so nothing of it can be
# measured. NaN is what nobody has measured yet.
NOTHING_TO_SCORE = float("inf")

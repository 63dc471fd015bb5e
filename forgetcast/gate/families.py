"""Several assertions at once: each that fails must survive that any of them could have failed by chance.

Source: Holm (1979), A simple sequentially rejective multiple test procedure.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(doubts: Sequence[float], a: float) -> list[bool]:
    """Which of K hypotheses are rejected, so that with probability 1 - a no true one is.

    Parameters
    ----------
    doubts : (K,) p-values, in any dependence
    a : error probability of all of them together
    """
    rejected = [False] * len(doubts)
    for step, place in enumerate(sorted(range(len(doubts)), key=doubts.__getitem__)):
        if doubts[place] > a / (len(doubts) - step):
            break
        rejected[place] = True
    return rejected

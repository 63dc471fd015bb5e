"""What a candidate was trained with must not be what says how well it remembers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetcast.gate.checks import Check
from forgetcast.gate.metrics import Metric
from forgetcast.gate.subject import Subject


def replay_problems(checks: Sequence[Check], subject: Subject) -> list[str]:
    """Why a verdict on a candidate with replay would be none: replayed examples are among what it is judged by."""
    if not subject.replayed.size:
        return []
    probed = subject.row.probed
    at_random = probed.positions[probed.at_random] if not subject.finished else np.zeros(0, dtype=np.intp)
    found = [("random probes", np.intersect1d(subject.replayed, at_random))]
    found += [
        (f"the examples of {check.name}", np.intersect1d(subject.replayed, check.question.positions))
        for check in checks
        if check.metric == Metric.PROTECTED and check.question is not None
    ]
    return [
        f"replay: {shared.size} of the {subject.replayed.size} replayed examples are among {what}, such as "
        f"{subject.example_ids[int(shared[0])]!r}; what was trained on says nothing of what is forgotten"
        for what, shared in found
        if shared.size
    ]

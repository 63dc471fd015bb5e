"""Baseline: column means and one shift of the row."""

from __future__ import annotations

from forgetcast.completion.methods.factor import Factor

ADDITIVE = Factor("additive", largest_rank=0, ranks_alike=True)

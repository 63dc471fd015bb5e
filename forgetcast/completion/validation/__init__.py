"""Rows left out: what choices and intervals are learned from."""

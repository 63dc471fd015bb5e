"""Rotary frequencies that depend on the longest sequence of a batch: longrope, and dynamic NTK scaling.

transformers chooses them from the highest position that a forward pass meets, so a short text beside a long one is read
with the long one's, and dynamic scaling keeps those of the longest text it has met. Up to the original length of the
model neither happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn


def rotary_limit(model: nn.Module) -> int | None:
    """Tokens up to which frequencies are the same for all sequences; None when they always are."""
    limits = [limit for module, name in _dependent(model) if (limit := _limit(module, name)) is not None]
    return min(limits, default=None)


def forget_lengths(model: nn.Module) -> None:
    """Put dynamically scaled frequencies back to those of short sequences, whatever was read before."""
    for module, name in _dependent(model):
        prefix = f"{name}_" if name else ""
        original = getattr(module, f"{prefix}original_inv_freq", None)
        if original is not None and "dynamic" in _kind(module, name):
            module.register_buffer(
                f"{prefix}inv_freq", original.to(getattr(module, f"{prefix}inv_freq").device), persistent=False
            )
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


def any_beyond(model: nn.Module, lengths: Sequence[int]) -> bool:
    """Whether one of these sequences is longer than the model's frequencies are the same for."""
    limit = rotary_limit(model)
    return limit is not None and max(lengths, default=0) > limit


def _dependent(model: nn.Module) -> Iterator[tuple[Any, str | None]]:
    """Rotary modules with such frequencies, each with the type of layer it has them for, where it knows types."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        named: dict[str | None, Any] = kinds if isinstance(kinds, dict) else {None: kinds}
        for name, kind in named.items():
            if isinstance(kind, str) and ("dynamic" in kind or kind == "longrope"):
                yield module, name


def _kind(module: Any, name: str | None) -> str:
    return str(module.rope_type if name is None else module.rope_type[name])


def _limit(module: Any, name: str | None) -> int | None:
    parameters = getattr(module.config, "rope_parameters", None) or {}
    found = (parameters.get(name) or {}) if name is not None else parameters
    limit = found.get("original_max_position_embeddings")
    if limit is None or "dynamic" in _kind(module, name):
        limit = getattr(module, "original_max_seq_len", limit)
    return None if limit is None else int(limit)

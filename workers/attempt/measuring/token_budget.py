"""How many tokens are read at once: as many as keep the device busy, and as fit."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

ON_A_CPU = 2048  # more is no faster on two cores
FEWEST, MOST = 2048, 1 << 18
SHARE = 1 / 3  # of what is free; the rest is for attention, for the vocabulary product and for what breaks into pieces
STATES, GATES = 8, 3  # tensors of a layer that live at once, as wide as the hidden state and as the feed-forward part


def tokens_per_batch(model: PreTrainedModel, device: torch.device, n_free: int | None = None) -> int:
    """`n_free`: bytes; by default what the GPU says. A guess that a scorer halves when it was too high."""
    if device.type == "cpu":
        return ON_A_CPU
    if n_free is None:
        n_free = torch.cuda.mem_get_info(device)[0]
    config = model.config.get_text_config(decoder=True)
    hidden = int(getattr(config, "hidden_size", 0) or 4096)
    inner = int(getattr(config, "intermediate_size", 0) or 4 * hidden)
    bytes_a_token = model.dtype.itemsize * (STATES * hidden + GATES * inner)
    return max(FEWEST, min(MOST, int(SHARE * n_free / bytes_a_token)))

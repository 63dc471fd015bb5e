"""Hidden states times the vocabulary matrix, kept in float32 where both are held in fewer bits.

In bfloat16 each logit would be rounded before the log-softmax: numbers of 16 to 32 lie 0.125 apart. The products of
bfloat16 numbers are exact in float32, and hardware adds them up there; only the result must not be rounded again.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn

VOCABULARY_AT_ONCE = 16_384  # rows of the matrix that are written out in float32 where the hardware has no such product


def takes(head: object) -> TypeGuard[nn.Linear]:
    """Whether a head is the plain product that can be taken apart: no adapter, no quantised matrix."""
    return type(head) is nn.Linear and head.weight.is_floating_point()


def float32_product(states: Tensor, head: nn.Linear, dtype: torch.dtype) -> Tensor:
    """(n, H) hidden states -> (n, V) float32 logits of both rounded to `dtype`, added up in float32."""
    states, weight = states.to(dtype), head.weight.to(dtype)
    with torch.autocast(states.device.type, enabled=False):
        if states.device.type == "cuda":
            logits = torch.mm(states, weight.T, out_dtype=torch.float32)
        else:
            exact = states.float()
            logits = torch.cat([exact @ rows.float().T for rows in weight.split(VOCABULARY_AT_ONCE)], dim=1)
        bias: Tensor | None = head.bias
        return logits if bias is None else logits + bias.float()

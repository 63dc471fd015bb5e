"""What of the parts for large models was shown, and where; `forgetcast doctor --model` and docs/large-models.md say
it."""

from __future__ import annotations

ON_THE_CPU = (
    "weights_dtype float32 and bfloat16",
    "activation_checkpointing",
    "per_device_train_batch_size",
    "packing",
    "attn_implementation eager and sdpa",
    "--devices with gloo",
    "the estimate of memory",
)
ON_A_CARD: tuple[str, ...] = ()  # each with which card, and when
NOT_TRIED = (
    "load_in_4bit",
    "8-bit optimisers",
    "use_liger_kernel",
    "attn_implementation flash_attention_2 and flex_attention",
    "--devices with NCCL",
    "any of these on a card",
)

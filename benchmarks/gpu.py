"""Measuring and fine-tuning on a card, beside what the card reaches in a bare matrix product.

    python -m benchmarks.gpu [--shape 1B 7B] [--method lora full] [--steps 10]

Llama shapes with random weights in bfloat16, for speed does not ask what they say. The model FLOP utilisation counts 2
operations a weight and token forward, 4 more backward in full fine-tuning, 2 more under LoRA, and what activation
checkpointing reads again does not count. `--shape tiny` runs on a CPU, to see that the program works.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from workers.attempt.measuring.log_perplexity import score
from workers.attempt.measuring.token_budget import tokens_per_batch
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import fine_tune

LORA = {"rank": 16, "alpha": 32.0, "dropout": 0.0, "target_modules": "all-linear"}


@dataclass(frozen=True)
class Shape:
    """A Llama: layers, width, width of the feed-forward part, heads of queries and of keys, vocabulary."""

    n_layers: int
    hidden: int
    inner: int
    n_heads: int
    n_key_heads: int
    vocabulary: int
    length: int = 1024
    n_texts: int = 400

    def make(self, device: torch.device) -> PreTrainedModel:
        config = LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            num_hidden_layers=self.n_layers,
            num_attention_heads=self.n_heads,
            num_key_value_heads=self.n_key_heads,
            max_position_embeddings=4096,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
        torch.manual_seed(0)
        with torch.device(device):
            before = torch.get_default_dtype()
            torch.set_default_dtype(torch.bfloat16)
            try:
                model: PreTrainedModel = LlamaForCausalLM(config)
            finally:
                torch.set_default_dtype(before)
        model.eval()
        return model


SHAPES = {
    "tiny": Shape(2, 64, 128, 4, 2, 1000, length=48, n_texts=20),
    "1B": Shape(16, 2048, 8192, 32, 8, 128_256),
    "7B": Shape(32, 4096, 11_008, 32, 32, 32_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="*", choices=sorted(SHAPES), default=["1B", "7B"])
    parser.add_argument("--method", nargs="*", choices=["lora", "full"], default=["lora", "full"])
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = matrix_product(device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}: a bfloat16 matrix product reaches {peak / 1e12:,.2f} TFLOP/s")
    print("\n| shape | what | tokens/s | utilisation of that product | peak memory, GiB |\n|---|---|---|---|---|")
    for shape in options.shape:
        measuring(shape, device, peak)
        for method in options.method:
            fine_tuning(shape, method, options.steps, device, peak)


def matrix_product(device: torch.device) -> float:
    """Operations per second of the largest product of two square matrices in a series."""
    size = 8192 if device.type == "cuda" else 512
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = min(_timed(lambda: left @ right, device) for _ in range(10))
    return float(2 * size**3 / best)


def measuring(name: str, device: torch.device, peak: float) -> None:
    shape = SHAPES[name]
    model, texts = shape.make(device), _texts(shape)
    wrapped = TransformersModel(model, dtype=torch.bfloat16)
    budget = tokens_per_batch(model, device)
    n_tokens = sum(map(len, texts))

    def read() -> None:
        score(wrapped, texts, tokens_per_batch=budget)

    read()
    _print(name, "measure", n_tokens, min(_timed(read, device) for _ in range(3)), 2 * _n_weights(model), peak, device)


def fine_tuning(name: str, method: str, steps: int, device: torch.device, peak: float) -> None:
    shape = SHAPES[name]
    model, texts = shape.make(device), [text for text in _texts(shape) for _ in range(2)]
    recipe: dict[str, Any] = {
        "method": method,
        "learning_rate": 1e-5,
        "steps": steps,
        "batch_size": 8,
        "max_tokens": shape.length,
        "warmup_steps": 0,
        "schedule": "linear",
        "weight_decay": 0.0,
        "dtype": "bfloat16",
        "weights_dtype": "bfloat16",
        "lora": LORA if method == "lora" else None,
        "per_device_train_batch_size": 4,
        "activation_checkpointing": True,
    }
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        fine_tune(
            model,
            texts,
            recipe,
            seed=1,
            scratch=Path(scratch),
            on_step=lambda _step, _loss: moments.append(_now(device)),
        )
    # The first step makes the optimiser's states and warms the kernels up.
    seconds = (moments[-1] - moments[0]) / (len(moments) - 1)
    n_tokens = recipe["batch_size"] * sum(map(len, texts)) / len(texts)
    operations = (4 if method == "lora" else 6) * _n_weights(model)
    _print(name, f"fine-tune, {method}", n_tokens, seconds, operations, peak, device)


def _print(
    name: str, what: str, n_tokens: float, seconds: float, operations: float, peak: float, device: torch.device
) -> None:
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if device.type == "cuda" else "-"
    speed = n_tokens / seconds
    print(f"| {name} | {what} | {speed:,.0f} | {speed * operations / peak:.2f} | {memory} |", flush=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _n_weights(model: PreTrainedModel) -> int:
    """All that meet every token: without the embedding, which is looked up."""
    embedding = model.get_input_embeddings().weight
    return sum(weight.numel() for weight in model.parameters() if weight is not embedding)


def _texts(shape: Shape) -> list[Tokens]:
    """Random tokens of a quarter of the length to all of it; every token but the first is scored."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(shape.length // 4, shape.length, shape.n_texts).tolist()
    return [
        Tokens(tuple(generator.integers(3, shape.vocabulary, length).tolist()), (False,) + (True,) * (length - 1))
        for length in lengths
    ]


def _timed(program: Callable[[], object], device: torch.device) -> float:
    began = _now(device)
    program()
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


if __name__ == "__main__":
    main()

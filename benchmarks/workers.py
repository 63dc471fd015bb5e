"""How fast workers measure and fine-tune, each figure a ratio to its baseline in the same run.

    python -m benchmarks.workers [--rounds 5] [--part ragged|loss|job|harness ...]

Parts
    ragged   log-perplexity of texts of many lengths, beside a bare forward pass over as many tokens in batches of one
             length, which project at scored positions only: tokens per second, ours / bare; at least 0.90
    loss     our projection and loss, a few hundred rows at a time, beside torch's linear_cross_entropy: ours / theirs
    job      a probe task of a matrix whose base values are known: the whole job without imports and model load, beside
             its fine-tuning steps; at most 1.10
    harness  the same texts by lm-evaluation-harness, HFLM.loglikelihood at its best batch size of 1, 8 and 32: ours /
             theirs; at least 2. Needs `pip install --no-deps lm-eval==0.4.13` and what that imports
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from bundled.model import ensure_model
from bundled.sets import ANSWERS
from forgetcast.schemas import Setting
from service.models import folder_sha256
from workers.attempt.measuring.log_perplexity import ROWS_PER_PROJECTION, score
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.texts.tokens import Tokens
from workers.job_directory import JobOrder, read_result, sha256_of_file

TOKENS_PER_BATCH = 2048
N_TEXTS, LENGTHS = 48, (8, 200)
EQUAL_LENGTH = 104  # their mean


@dataclass(frozen=True)
class Shape:
    name: str
    make: Callable[[], PreTrainedModel]


def shapes() -> tuple[Shape, ...]:
    return (
        Shape("bundled, 135M, 30 layers of 576, vocabulary 49k", _bundled),
        Shape("Llama, 8 layers of 1024, vocabulary 32k", lambda: _llama(8, 1024, 32_000)),
        Shape("Llama, 6 layers of 512, vocabulary 152k", lambda: _llama(6, 512, 152_000)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", nargs="*", choices=sorted(PARTS), default=["ragged", "loss", "job"])
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    for part in options.part:
        PARTS[part](options.rounds)


def ragged(rounds: int) -> None:
    print("\n| texts of 8 to 200 tokens | tokens/s | bare forward pass | share (limit 0.90) |\n|---|---|---|---|")
    for shape in shapes():
        model = shape.make()
        texts = _texts(int(model.config.vocab_size))
        n_tokens = sum(map(len, texts))
        wrapped = TransformersModel(model, dtype=torch.float32)

        def ours(texts: Sequence[Tokens] = texts, wrapped: TransformersModel = wrapped) -> None:
            score(wrapped, texts, tokens_per_batch=TOKENS_PER_BATCH)

        def bare(model: PreTrainedModel = model, n_tokens: int = n_tokens) -> None:
            _bare(model, n_tokens)

        us, them = _interleaved(rounds, ours, bare)
        print(f"| {shape.name} | {n_tokens / us:,.0f} | {n_tokens / them:,.0f} | {them / us:.2f} |", flush=True)


def loss(rounds: int) -> None:
    """Hidden states to nats: the vocabulary product and the log-softmax alone."""
    theirs = getattr(torch.nn.functional, "linear_cross_entropy", None)
    if theirs is None:
        print("\nthis torch has no linear_cross_entropy")
        return
    print("\n| 2,000 scored positions | our loop, s | linear_cross_entropy, s | ours / theirs | apart, nats |")
    print("|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    for width, vocabulary in ((576, 49_152), (1024, 32_000), (512, 152_000)):
        states = torch.randn(2000, width, generator=generator)
        weight = torch.randn(vocabulary, width, generator=generator) / width**0.5
        wanted = torch.randint(vocabulary, (2000,), generator=generator)

        def our_loop(
            states: torch.Tensor = states, weight: torch.Tensor = weight, wanted: torch.Tensor = wanted
        ) -> torch.Tensor:
            return torch.cat(
                [
                    torch.nn.functional.cross_entropy(rows @ weight.T, targets, reduction="none")
                    for rows, targets in zip(
                        states.split(ROWS_PER_PROJECTION), wanted.split(ROWS_PER_PROJECTION), strict=True
                    )
                ]
            )

        def fused(
            states: torch.Tensor = states, weight: torch.Tensor = weight, wanted: torch.Tensor = wanted
        ) -> torch.Tensor:
            nats: torch.Tensor = theirs(states, weight, wanted, reduction="none")
            return nats

        with torch.inference_mode():
            us, them = _interleaved(rounds, our_loop, fused)
            apart = float((our_loop() - fused()).abs().max())
        print(f"| {width} x {vocabulary:,} | {us:.3f} | {them:.3f} | {us / them:.2f} | {apart:.1e} |", flush=True)


def job(rounds: int) -> None:
    """The second task of a matrix on this host: base values known, the way to read the model found before."""
    print("\n| probe task, 30 probes | fine-tuning steps, s | all but imports and load, s | ratio (limit 1.10) |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(min(rounds, 3)):
            folder = Path(scratch) / str(turn)
            _order_probe_task(folder, Path(scratch) / "weights", seed=turn)
            seconds = _run_child(folder)
            steps, whole = seconds["fine_tune"], sum(seconds.values()) - seconds["load"]
            print(
                f"| {'first' if not turn else 'next'} | {steps:.1f} | {whole:.1f} | {whole / steps:.3f} |", flush=True
            )
            print("  " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()), file=sys.stderr)


def harness(rounds: int) -> None:
    from lm_eval.api.instance import Instance  # type: ignore[import-not-found]
    from lm_eval.models.huggingface import HFLM  # type: ignore[import-not-found]

    folder = ensure_model()
    texts = [json.loads(line)["messages"] for line in ANSWERS.lines[:100]]
    pairs = [(turns[0]["content"], " " + turns[1]["content"]) for turns in texts]
    requests = [Instance("loglikelihood", {}, pair, place) for place, pair in enumerate(pairs)]
    best, values = float("inf"), None
    for batch in (1, 8, 32):
        theirs = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=batch)
        read = partial(theirs.loglikelihood, requests, disable_tqdm=True)
        seconds = min(_timed(read) for _ in range(2))
        print(f"harness, batch {batch}: {seconds:.2f} s", file=sys.stderr)
        if seconds < best:
            best, values = seconds, read()
    assert values is not None
    examples = [_as_harness_reads(theirs, *pair) for pair in pairs]
    wrapped = TransformersModel(_bundled(), dtype=torch.float32)
    seconds = min(_timed(lambda: score(wrapped, examples, tokens_per_batch=TOKENS_PER_BATCH)) for _ in range(rounds))
    ours = score(wrapped, examples).log_perplexity
    apart = max(
        abs(-logprob / tokens.n_scored - float(mine))
        for (logprob, _greedy), tokens, mine in zip(values, examples, ours, strict=True)
    )
    speed = f"at its best batch {best:.2f} s, ours {seconds:.2f} s: {best / seconds:.2f} times as fast (limit 2)"
    print(f"\nlm-evaluation-harness {speed}; values apart by {apart:.1e} nats per token (limit 1e-3)")


PARTS: dict[str, Callable[[int], None]] = {"ragged": ragged, "loss": loss, "job": job, "harness": harness}


def _bundled() -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(ensure_model(), dtype=torch.float32).eval()
    return model


def _llama(n_layers: int, width: int, vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=n_layers,
        num_attention_heads=width // 64,
        max_position_embeddings=2048,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    model: PreTrainedModel = LlamaForCausalLM(config).eval()
    return model


def _texts(vocabulary: int) -> list[Tokens]:
    """Random tokens, for what they say costs nothing; no two begin alike, so that nothing is shared."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(*LENGTHS, N_TEXTS).tolist()
    return [
        Tokens(tuple(generator.integers(3, vocabulary, length).tolist()), (False,) + (True,) * (length - 1))
        for length in lengths
    ]


def _bare(model: PreTrainedModel, n_tokens: int) -> None:
    """As many tokens in batches of one length; every position but the first of a text is scored."""
    size = TOKENS_PER_BATCH // EQUAL_LENGTH
    left = n_tokens // EQUAL_LENGTH
    with torch.inference_mode():
        while left > 0:
            ids = torch.randint(3, int(model.config.vocab_size), (min(size, left), EQUAL_LENGTH))
            states = (
                model.model(input_ids=ids, use_cache=False)
                .last_hidden_state[:, :-1]
                .reshape(-1, model.config.hidden_size)
            )
            for rows, wanted in zip(
                states.split(ROWS_PER_PROJECTION), ids[:, 1:].reshape(-1).split(ROWS_PER_PROJECTION), strict=True
            ):
                torch.nn.functional.cross_entropy(model.lm_head(rows), wanted, reduction="none")
            left -= size


def _as_harness_reads(harness: Any, context: str, continuation: str) -> Tokens:
    before, after = harness._encode_pair(context, continuation)
    return Tokens((*before, *after), (False,) * len(before) + (True,) * len(after))


def _order_probe_task(folder: Path, weights: Path, seed: int) -> None:
    folder.mkdir()
    (folder / "dataset.jsonl").write_bytes((ANSWERS.folder / "new-task.jsonl").read_bytes())
    probes = list(range(0, len(ANSWERS.lines), len(ANSWERS.lines) // 30))[:30]
    (folder / "upstream.jsonl").write_text("\n".join(ANSWERS.lines[place] for place in probes) + "\n", encoding="utf-8")
    np.save(folder / "before.npy", ANSWERS.before()[probes])
    model = ensure_model()
    JobOrder(
        job_id=f"bench-{seed}",
        attempt=1,
        fence=1,
        model_folder=str(model),
        model_revision=folder_sha256(model),
        recipe=ANSWERS.matrix["recipe"],
        setting=Setting.model_validate(ANSWERS.matrix["setting"]).model_dump(mode="json"),
        seed=seed,
        dataset_sha256=sha256_of_file(folder / "dataset.jsonl"),
        weights_folder=str(weights / str(seed)),
        ways_folder=str(weights.with_name("ways")),
    ).write(folder)


def _run_child(folder: Path) -> dict[str, float]:
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "workers.attempt.run", str(folder)]
        subprocess.run(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, check=True)
    seconds: dict[str, float] = read_result(folder).report["seconds"]
    return seconds


def _interleaved(rounds: int, *programs: Callable[[], object]) -> list[float]:
    """The median seconds of each, taken in turns, after one turn that is not counted."""
    with _quiet():
        for program in programs:
            program()
        taken = [[_timed(program) for program in programs] for _ in range(rounds)]
    return [median(turns) for turns in zip(*taken, strict=True)]


def _timed(program: Callable[[], object]) -> float:
    began = time.perf_counter()
    program()
    return time.perf_counter() - began


@contextmanager
def _quiet() -> Iterator[None]:
    with torch.inference_mode():
        yield


if __name__ == "__main__":
    main()

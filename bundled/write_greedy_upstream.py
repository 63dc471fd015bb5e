"""The bundled set for exact matches: what SmolLM2-135M-Instruct itself answers to our own prompts, decoded greedily.

    python -m bundled.write_greedy_upstream        writes bundled/greedy/upstream.jsonl

The answers of bundled/upstream.jsonl were sampled, so the model reproduces few of them. These it reproduces all, and
fine-tuning makes it lose some: forgetting as yes or no, as Jin and Ren count it (arXiv:2406.14026).

A prompt here is the chat template's own text, so that what is scored ends where the model stopped, or where it was cut.
The few answers that are not read back as the tokens that were written are left out.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from bundled.model import ensure_model
from bundled.write_upstream import ANSWER_TOKENS, BATCH, chosen_prompts

TARGET = Path(__file__).parent / "greedy" / "upstream.jsonl"


def main() -> None:
    transformers_logging.disable_progress_bar()
    folder = ensure_model()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = chosen_prompts()
    n_written = 0
    with TARGET.open("w", encoding="utf-8") as out:
        for start in range(0, len(prompts), BATCH):
            for example in _examples(model, tokenizer, prompts[start : start + BATCH]):
                out.write(json.dumps(example, ensure_ascii=False) + "\n")
                n_written += 1
            print(f"{min(start + BATCH, len(prompts))} of {len(prompts)}", file=sys.stderr)
    print(f"{n_written} answers; {len(prompts) - n_written} are not read back as they were written", file=sys.stderr)


def _examples(model: Any, tokenizer: Any, prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt["prompt"]}], add_generation_prompt=True, tokenize=False
        )
        for prompt in prompts
    ]
    inputs = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=ANSWER_TOKENS, do_sample=False)
    replies = ids[:, inputs["input_ids"].shape[1] :].tolist()
    examples = []
    for prompt, text, padded in zip(prompts, texts, replies, strict=True):
        reply = _until_the_end(padded, tokenizer.eos_token_id)
        completion = tokenizer.decode(reply, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        if tokenizer(text + completion, add_special_tokens=False)["input_ids"] == own + reply:
            kept = {name: prompt[name] for name in ("id", "domain", "held_out")}
            examples.append({**kept, "prompt": text, "completion": completion, "tags": []})
    return examples


def _until_the_end(reply: list[int], end: int) -> list[int]:
    return reply[: reply.index(end) + 1] if end in reply else reply


if __name__ == "__main__":
    main()

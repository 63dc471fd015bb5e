"""The bundled upstream set: what SmolLM2-135M-Instruct answers to our own prompts.

    python -m bundled.write_upstream        writes bundled/upstream.jsonl

A model's own answers stand for the data it was instruction-tuned on. Sampling is seeded per batch; the committed file,
not a re-run, is what every measurement refers to, because sampling on another processor may pick other words.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from bundled.model import ensure_model

HERE = Path(__file__).parent
SEED = 20261201
PROMPTS_PER_DOMAIN = 25  # 20 domains x 25 = 500 examples
ANSWER_TOKENS = 24  # enough for a log-perplexity, few enough that two cores measure the whole set in a minute
BATCH = 50


def main() -> None:
    transformers_logging.disable_progress_bar()
    folder = ensure_model()
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = chosen_prompts()
    with (HERE / "upstream.jsonl").open("w", encoding="utf-8") as out:
        for start in range(0, len(prompts), BATCH):
            batch = prompts[start : start + BATCH]
            torch.manual_seed(SEED + start)
            answers = _answers(model, tokenizer, [prompt["prompt"] for prompt in batch])
            for prompt, answer in zip(batch, answers, strict=True):
                out.write(json.dumps(_example(prompt, answer), ensure_ascii=False) + "\n")
            print(f"{start + len(batch)} of {len(prompts)}", file=sys.stderr)


def chosen_prompts() -> list[dict[str, object]]:
    """The first prompts of each domain, in their order."""
    chosen: dict[object, list[dict[str, object]]] = {}
    for line in (HERE / "prompts.jsonl").read_text(encoding="utf-8").splitlines():
        prompt = json.loads(line)
        of_domain = chosen.setdefault(prompt["domain"], [])
        if len(of_domain) < PROMPTS_PER_DOMAIN:
            of_domain.append(prompt)
    return [prompt for of_domain in chosen.values() for prompt in of_domain]


def _answers(model: torch.nn.Module, tokenizer: object, prompts: list[object]) -> list[str]:
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    inputs = tokenizer.apply_chat_template(  # type: ignore[attr-defined]
        chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        ids = model.generate(  # type: ignore[operator]
            **inputs, max_new_tokens=ANSWER_TOKENS, min_new_tokens=8, do_sample=True, temperature=0.7, top_p=0.95
        )
    replies = ids[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(replies, skip_special_tokens=True)]  # type: ignore[attr-defined]


def _example(prompt: dict[str, object], answer: str) -> dict[str, object]:
    return {
        "id": prompt["id"],
        "messages": [
            {"role": "user", "content": prompt["prompt"]},
            {"role": "assistant", "content": answer},
        ],
        "domain": prompt["domain"],
        "tags": [],
        "held_out": prompt["held_out"],
    }


if __name__ == "__main__":
    main()

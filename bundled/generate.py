"""What a base model answers to the project's prompts: an upstream set for who has none.

`forgetcast upstream generate` calls this; `write_upstream.py` made the bundled set in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.utils import logging as transformers_logging

from bundled.write_upstream import chosen_prompts
from workers.attempt.model.model_folder import load_model

BATCH = 25
FEWEST_TOKENS = 8
SAMPLING = {"do_sample": True, "temperature": 0.7, "top_p": 0.95}


def answers(
    folder: Path,
    *,
    size: int,
    tokens: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[dict[str, Any]]:
    """Lines of an upstream set: `size` prompts, as many of each domain, with the model's answers of up to `tokens`.

    A model without a chat template goes on with the prompt as a text, and prompt and answer are one text.

    Raises
    ------
    ModelNotFound, ModelUnreadable, UnsupportedModel
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, loaded = load_model(folder, device)
    tokenizer: Any = loaded
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    prompts = _with_held_out(_evenly(chosen_prompts(), size))
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        torch.manual_seed(seed + start)
        said = _answer(model.eval(), tokenizer, [str(prompt["prompt"]) for prompt in batch], tokens)
        for prompt, answer in zip(batch, said, strict=True):
            if answer:
                yield _line(prompt, answer, bool(tokenizer.chat_template))
        on_progress(start + len(batch), len(prompts))


def _evenly(prompts: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """The first prompts of every domain, the held-out ones among them in their share."""
    by_domain: dict[str, list[dict[str, Any]]] = {}
    for prompt in prompts:
        by_domain.setdefault(str(prompt["domain"]), []).append(prompt)
    rounds = max(map(len, by_domain.values()))
    in_turn = [of[place] for place in range(rounds) for of in by_domain.values() if place < len(of)]
    return sorted(in_turn[:size], key=lambda prompt: str(prompt["domain"]))


def _with_held_out(prompts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The prompts' own marks; of a choice that has too few, every tenth."""
    if 10 * sum(bool(prompt["held_out"]) for prompt in prompts) >= len(prompts):
        return prompts
    return [{**prompt, "held_out": place % 10 == 9} for place, prompt in enumerate(prompts)]


def _answer(model: Any, tokenizer: Any, prompts: list[str], tokens: int) -> list[str]:
    if tokenizer.chat_template:
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
        inputs = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
    else:
        inputs = tokenizer([f"{prompt}\n" for prompt in prompts], padding=True, return_tensors="pt")
    inputs = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        ids = model.generate(
            **inputs,
            max_new_tokens=tokens,
            min_new_tokens=min(FEWEST_TOKENS, tokens),
            pad_token_id=tokenizer.pad_token_id,
            **SAMPLING,
        )
    replies = ids[:, inputs["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(replies, skip_special_tokens=True)]


def _line(prompt: dict[str, Any], answer: str, chat: bool) -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt["prompt"]}, {"role": "assistant", "content": answer}]
    content = {"messages": turns} if chat else {"text": f"{prompt['prompt']}\n{answer}"}
    return {"id": prompt["id"], **content, "domain": prompt["domain"], "held_out": prompt["held_out"]}

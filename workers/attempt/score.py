"""Log-perplexity of upstream examples before and after a fine-tuning that was done elsewhere: base model and weights.

`forgetcast score` measures a candidate by it: the very weights that will be released, as a whole model or as an adapter
of LoRA over the base. Nothing is trained, and nothing is written.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from forgetcast.errors import ModelMismatch, ModelNotFound, ModelUnreadable, NothingToScore, UnsupportedModel
from workers.attempt.checks.limits import limits_of
from workers.attempt.checks.self_check import way_to_read
from workers.attempt.measuring.measure_blocks import check_believable
from workers.attempt.measuring.scorer import Packed, TransformersScorer
from workers.attempt.measuring.token_budget import tokens_per_batch
from workers.attempt.model.loading import Loading
from workers.attempt.model.model_folder import check_whole, load_model
from workers.attempt.model.own_code import first_line
from workers.attempt.texts.conversations import check_template
from workers.attempt.texts.examples import encode_upstream
from workers.job_directory import Values, sha256_of_file

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
OnProgress = Callable[[str, int, int], None]  # phase, examples done, examples in all


@dataclass(frozen=True)
class Scored:
    """Values of the examples that have something to score. (n,) float32 each, nats per token

    weights_sha256 : of the candidate's weights, see `weights_digest`
    left_out : why the others have none; empty when all have
    """

    ids: tuple[str, ...]
    before: Values
    after: Values
    weights_sha256: str
    left_out: str


def score(
    base: Path,
    weights: Path,
    examples: Iterable[Mapping[str, Any]],
    setting: Mapping[str, Any],
    on_progress: OnProgress = lambda phase, done, total: None,
    *,
    recipe: Mapping[str, Any] = MappingProxyType({}),
) -> Scored:
    """Measure examples on the base model and on the candidate.

    Parameters
    ----------
    base, weights : folders; of the weights one of a whole model, or of an adapter as peft writes it
    examples : of an upstream set, with `id`, and `text` or `messages`
    setting : of the matrix, see forgetcast.schemas
    recipe : of the matrix too; it says how weights are held, and so does an attempt hold them

    Raises
    ------
    ModelNotFound, ModelUnreadable, UnsupportedModel, NotForModel, NotFinite, NothingToScore
    ModelMismatch : the candidate has another tokenizer, or is no different from the base model
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    digest = weights_digest(weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    loading = Loading.of(dict(recipe))
    model, tokenizer = load_model(base, device, loading)
    check_template(tokenizer, setting["chat_template_sha256"])
    upstream = encode_upstream(examples, tokenizer, dict(setting))
    scored = [place for place, tokens in enumerate(upstream.tokens) if tokens.n_scored]
    if not scored:
        raise NothingToScore(upstream.left_out())
    limits_of(model).check(((name, tokens) for name, tokens in upstream.named), "the setting's max_tokens")

    def measure(of: PreTrainedModel, phase: str) -> Values:
        read = way_to_read(of).model(of, getattr(torch, setting["dtype"]))
        packed = Packed.of([upstream.tokens[place] for place in scored])
        scorer = TransformersScorer(read, tokens_per_batch(of, device))
        found = scorer.score(packed, lambda done: on_progress(phase, done, len(scored))).log_perplexity
        check_believable(found, [upstream.ids[place] for place in scored])
        return found

    before = measure(model, "before")
    if (weights / ADAPTER_CONFIG).exists():
        _attach(model, weights)
    else:
        del model  # two models may be more than fits
        model, own = load_model(weights, device, loading)
        _check_same_tokens(own, tokenizer)
    after = measure(model, "after")
    if np.array_equal(before, after):
        raise ModelMismatch(
            f"{weights.name} gives every example the value that the base model gives it: these are the base model's "
            "weights, or an adapter that was never trained"
        )
    ids = tuple(upstream.ids[place] for place in scored)
    return Scored(ids, before, after, digest, upstream.left_out())


def weights_digest(folder: Path) -> str:
    """sha256 of a candidate's weights: of the one file of a whole model, or of the list that `sha256sum` makes of the
    files where there are several, in order of their names; an adapter's adapter_config.json is one of them.

    Raises
    ------
    ModelNotFound, ModelUnreadable
    """
    if not folder.is_dir():
        raise ModelNotFound(f"there is no folder {folder}")
    if (folder / ADAPTER_CONFIG).exists():
        files = [folder / ADAPTER_CONFIG, folder / ADAPTER]
        if not files[1].exists():
            raise ModelNotFound(f"the adapter in {folder.name} has no {ADAPTER}; save it with safetensors")
    else:
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ModelNotFound(f"no *.safetensors weights, and no {ADAPTER_CONFIG}, in the folder {folder.name}")
    for file in files:
        if file.suffix == ".safetensors":
            check_whole(file)
    digests = [(sha256_of_file(file), file.name) for file in files]
    if len(digests) == 1:
        return digests[0][0]
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for sha256, name in digests).encode()).hexdigest()


def _attach(model: PreTrainedModel, folder: Path) -> None:
    """Put an adapter into the model, in place; every weight of it must find its place, and every place its weight."""
    try:
        kind = str(json.loads((folder / ADAPTER_CONFIG).read_bytes()).get("peft_type"))
    except (ValueError, AttributeError) as error:
        raise ModelUnreadable(f"{ADAPTER_CONFIG} of {folder.name} is no JSON object") from error
    if kind != "LORA":
        raise UnsupportedModel(f"{folder.name} is an adapter of the kind {kind}; LoRA and whole models are measured")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is missing is refused below, by name
            adapted = PeftModel.from_pretrained(model, str(folder), use_safetensors=True)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        said = first_line(error)
        raise ModelMismatch(f"the adapter in {folder.name} does not fit the base model: {said}") from error
    wanted = set(get_peft_model_state_dict(adapted))
    with safe_open(folder / ADAPTER, framework="pt") as file:
        there = set(file.keys())
    wrong = sorted(wanted ^ there)
    if wrong:
        where = "lacks" if wrong[0] in wanted else "has, and the base model does not,"
        raise ModelMismatch(
            f"the adapter in {folder.name} does not fit the base model: it {where} {wrong[0]}, and {len(wrong) - 1} "
            "more differ"
        )
    adapted.eval()


def _check_same_tokens(own: Any, tokenizer: Any) -> None:
    """Values per token of other tokens are no comparison."""
    if own.get_vocab() != tokenizer.get_vocab():
        raise ModelMismatch(
            "the candidate's tokenizer has other tokens than the base model's, so that values per token of the two "
            "cannot be compared"
        )

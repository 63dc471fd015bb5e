"""A base model's folder on disk -> the model and its tokenizer: whole, of the kind that predicts tokens, or refused by
name before anything is measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)
from transformers.quantizers.auto import AutoHfQuantizer

from forgetcast.errors import ModelNotFound, ModelUnreadable, NotForModel, UnsupportedModel
from workers.attempt.model.loading import USUAL, Loading
from workers.attempt.model.own_code import first_line
from workers.attempt.model.text_part import freeze_other_senses
from workers.attempt.texts.tokens import Tokenizer

LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors library
INDEX = "model.safetensors.index.json"
# What an architecture is called that has another head than one that predicts tokens: `LlamaForSequenceClassification`.
HEAD = re.compile(r"For(?P<task>[A-Z]\w+)$")
PREDICTS = ("CausalLM", "ConditionalGeneration")


def load_model(folder: Path, device: torch.device, loading: Loading = USUAL) -> tuple[PreTrainedModel, Tokenizer]:
    """The base model, in float32 unless `loading` says otherwise, and its tokenizer, from safetensors in a local
    folder; no remote code is run.

    Of a model that also sees or hears, the parts that do are frozen: text is what is fine-tuned and measured here.

    Raises
    ------
    ModelNotFound : the folder or its weights are absent
    ModelUnreadable : a file of weights is cut off or damaged, or weights are missing, left over or of another shape
    UnsupportedModel : transformers cannot load it, or it does not predict the next token
    NotForModel : it, or this worker, does not have what `loading` asks for
    """
    _check_files(folder)
    loading.check(device)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        kind = kind_of(config)
        model, info = kind.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # refused below, each by name
            output_loading_info=True,
            **loading.arguments(device),
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except SafetensorError as error:
        raise ModelUnreadable(f"the weights of {folder.name} cannot be read: {error}") from error
    except (UnsupportedModel, MemoryError, torch.OutOfMemoryError):
        raise
    except ImportError as error:
        said = first_line(error)
        raise UnsupportedModel(f"{folder.name} needs a package that this worker does not have: {said}") from error
    except Exception as error:  # of the code of one of hundreds of architectures, for this config
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if loading.attention is not None and "attention" in str(error):
            said = first_line(error)
            raise NotForModel(f"the recipe's attn_implementation {loading.attention} is refused: {said}") from error
        raise UnsupportedModel(f"transformers cannot load {folder.name}: {error}") from error
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModel(
            f"the tokenizer of {folder.name}, {type(tokenizer).__name__}, does not say which token stands for which "
            "characters; add its tokenizer.json"
        )
    _check_complete(folder, model, info)
    if model.device != device and not loading.in_4bit:
        model.to(device=device)
    freeze_other_senses(model)
    return model, tokenizer


def check_whole(file: Path) -> None:
    """Raises ModelUnreadable unless a safetensors file is as long as its header says: the rest of a cut-off one would
    be read as zeros, or end the process."""
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            n_header = int.from_bytes(opened.read(8), "little")
            if n_header > min(LONGEST_HEADER, size):
                raise ValueError("the header is longer than the file")
            header = json.loads(opened.read(n_header))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + n_header + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ModelUnreadable(f"{file.name} has no safetensors header that can be read; fetch it again") from error
    if size != expected:
        raise ModelUnreadable(f"{file.name} has {size:,} bytes instead of {expected:,}; fetch it again")


def _check_files(folder: Path) -> None:
    files = {file.name: file for file in folder.glob("*.safetensors")}
    if not files:
        raise ModelNotFound(f"no *.safetensors weights in the folder {folder.name}")
    index = folder / INDEX
    if index.exists() and "model.safetensors" not in files:
        try:
            wanted = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelUnreadable(f"{INDEX} does not say which file has which weights; fetch it again") from error
        absent = [name for name in wanted if name not in files]
        if absent:
            raise ModelNotFound(
                f"{len(absent)} of {len(wanted)} files of weights are not in the folder {folder.name}; the first is "
                f"{absent[0]}"
            )
    for file in files.values():
        check_whole(file)


def kind_of(config: Any) -> Any:
    """The class to load with, for what the folder says it is."""
    said = (getattr(config, "architectures", None) or [type(config).__name__])[0]
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedModel(
            f"{said} ({config.model_type}) is an encoder-decoder; only models of a decoder alone are measured"
        )
    quantised = getattr(config, "quantization_config", None)
    if quantised is not None and not AutoHfQuantizer.supports_quant_method(_as_dict(quantised)):
        raise UnsupportedModel(f"{said} is quantised in a way that transformers does not know: {_as_dict(quantised)}")
    head = HEAD.search(said)
    if head is not None and head["task"] not in PREDICTS:
        raise UnsupportedModel(f"{said} has a head for another task, and none that predicts the next token")
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return AutoModelForCausalLM
    if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return AutoModelForImageTextToText
    raise UnsupportedModel(f"{said} ({config.model_type}) is no language model that predicts the next token")


def _as_dict(config: Any) -> dict[str, Any]:
    return dict(config) if isinstance(config, dict) else dict(config.to_dict())


def _check_complete(folder: Path, model: PreTrainedModel, info: dict[str, Any]) -> None:
    """Raises ModelUnreadable where a weight of the model is not in the files, for then it is random, or where the files
    have one that the model leaves out although it has such weights elsewhere."""
    mismatched = sorted((entry[0], *entry[1:3]) for entry in info["mismatched_keys"])
    if mismatched:
        name, there, here = mismatched[0]
        raise ModelUnreadable(
            f"{_count(mismatched)} of {folder.name} have another shape than config.json says; the first is {name}, "
            f"{tuple(there)} instead of {tuple(here)}; take both from one place"
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelUnreadable(
            f"{_count(missing)} of {type(model).__name__} are not in the files of {folder.name}; the first is "
            f"{missing[0]}; fetch the folder again, and config.json with it"
        )
    left = sorted(name for name in info["unexpected_keys"] if _would_count(model, name))
    if left:
        raise ModelUnreadable(
            f"{_count(left)} in the files of {folder.name} are not used by {type(model).__name__} as config.json has "
            f"it; the first is {left[0]}; take both from one place"
        )


def _would_count(model: PreTrainedModel, name: str) -> bool:
    """Whether a weight that was left over would change what the model says: a layer more, or something more in one."""
    *path, leaf = name.split(".")
    if leaf not in ("weight", "bias"):  # buffers of older versions, which are computed now
        return False
    module: nn.Module = model
    inside_a_layer = False
    for part in path:
        if isinstance(module, nn.ModuleList) and part.isdigit():
            if int(part) >= len(module):
                return True
            inside_a_layer = True
        found = module._modules.get(part)
        if found is None:
            return inside_a_layer
        module = found
    return any(True for _weight in module.parameters(recurse=False))


def _count(names: list[Any]) -> str:
    return f"{len(names)} weight{'s' if len(names) > 1 else ''}"

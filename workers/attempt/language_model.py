"""What measuring needs of a language model, and its transformers form."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel

from forgetcast.errors import ModelNotFound, ModelUnreadable, UnsupportedModel
from workers.attempt.tokens import Tokenizer

LONGEST_HEADER = 100_000_000  # bytes, as in the safetensors library


class LanguageModel(Protocol):
    """Hidden states first, the vocabulary projection apart: so it can be taken at scored positions only."""

    def reading_after(self, prefix: Sequence[int]) -> contextlib.AbstractContextManager[None]:
        """Within it every sequence given to `hidden` continues these tokens."""
        ...

    def hidden(self, ids: Tensor, present: Tensor) -> Tensor:
        """(B, L) token ids and (B, L) bool, False at padding on the right -> (B, L, H)."""
        ...

    def logits(self, states: Tensor) -> Tensor:
        """(n, H) hidden states -> (n, V) logits."""
        ...


class TransformersModel:
    """A causal language model of transformers, measured through its inner decoder.

    The inner decoder, because a trainer wraps `model.forward` (mixed precision, float32 output) and never unwraps it.
    """

    def __init__(self, model: PreTrainedModel, *, dtype: torch.dtype) -> None:
        self._model = model
        self._decoder = model.get_decoder()
        self._head = model.get_output_embeddings()
        self._dtype = dtype
        self._prefix: tuple[int, ...] = ()
        self._prefix_cache: Any = None

    @property
    def device(self) -> torch.device:
        return self._model.device

    @contextlib.contextmanager
    def reading_after(self, prefix: Sequence[int]) -> Iterator[None]:
        was_training = self._model.training
        self._model.eval()
        self._prefix = tuple(prefix)
        if prefix:
            cache = DynamicCache(config=self._model.config)
            with self._precision():
                self._decoder(input_ids=torch.tensor([self._prefix], device=self.device), past_key_values=cache)
            self._prefix_cache = cache
        try:
            yield
        finally:
            self._prefix, self._prefix_cache = (), None
            self._model.train(was_training)

    def hidden(self, ids: Tensor, present: Tensor) -> Tensor:
        n_rows, n_prefix = ids.shape[0], len(self._prefix)
        mask = torch.cat([torch.ones(n_rows, n_prefix, dtype=torch.bool), present], dim=1).to(self.device)
        with self._precision():
            output = self._decoder(
                input_ids=ids.to(self.device),
                attention_mask=mask.long(),
                past_key_values=self._repeated_prefix(n_rows),
                use_cache=n_prefix > 0,
            )
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        with self._precision():
            scores: Tensor = self._head(states)
        return scores

    def _repeated_prefix(self, n_rows: int) -> Any:
        if not self._prefix:
            return None
        layers = [(layer.keys, layer.values) for layer in self._prefix_cache.layers]
        repeated = DynamicCache(config=self._model.config)
        for place, (keys, values) in enumerate(layers):
            repeated.update(keys.expand(n_rows, -1, -1, -1), values.expand(n_rows, -1, -1, -1), place)
        return repeated

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32)


def load_model(folder: Path, device: torch.device) -> tuple[PreTrainedModel, Tokenizer]:
    """The base model in float32 and its tokenizer, from safetensors in a local folder; no remote code is run.

    Raises
    ------
    ModelNotFound : the folder or its weights are absent
    ModelUnreadable : a file of weights is cut off or damaged
    UnsupportedModel : not a causal language model whose logits are the plain projection of its hidden states
    """
    if not list(folder.glob("*.safetensors")):
        raise ModelNotFound(f"no *.safetensors weights in the folder {folder.name}")
    for file in folder.glob("*.safetensors"):
        check_whole(file)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except SafetensorError as error:
        raise ModelUnreadable(f"the weights of {folder.name} cannot be read: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        raise UnsupportedModel(f"transformers cannot load {folder.name}: {error}") from error
    model.to(device=device)  # type: ignore[call-arg]  # the stub of a decorated method has lost its arguments
    _check_projection(model)
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


def _check_projection(model: PreTrainedModel) -> None:
    """Some models scale or cap their logits after the projection; measured without that, they would be wrong."""
    measured = TransformersModel(model, dtype=torch.float32)
    ids = torch.arange(4, 12).unsqueeze(0)
    with torch.inference_mode(), measured.reading_after(()):
        ours = measured.logits(measured.hidden(ids, torch.ones_like(ids, dtype=torch.bool))[0])
        theirs = model(input_ids=ids.to(model.device)).logits[0]
    if not torch.allclose(ours.float(), theirs.float(), rtol=1e-3, atol=1e-3):
        raise UnsupportedModel(
            f"{type(model).__name__} changes its logits after the projection; this is not measured yet"
        )

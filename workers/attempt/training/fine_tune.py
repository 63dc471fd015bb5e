"""Fine-tune the base model on one task under one recipe, in full or with LoRA; from its last checkpoint on, if any."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from forgetcast.errors import LossNotFinite, UnsupportedModel
from forgetcast.recipe_defaults import LORA_DEFAULTS, full_recipe, n_steps
from workers.attempt.model.rotary import any_beyond, forget_lengths
from workers.attempt.model.text_part import without_adapters
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.packing import IGNORED, collate_rows, pack
from workers.attempt.training.ranks import ALONE, Ranks
from workers.attempt.training.sealed import Checkpoints

# Other kernels would stay in the model, and its values from after fine-tuning would be another engine's.
FUSED_LOSS_ALONE = {
    "fused_linear_cross_entropy": True,
    "cross_entropy": False,
    "rms_norm": False,
    "rope": False,
    "swiglu": False,
}


class WoundDown(Exception):
    """The attempt ended before its time, because it was asked to; what it leaves is there for the next one."""


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model. `base` reads through the same weights that were trained, adapters included."""

    trained: PreTrainedModel | PeftModel
    base: PreTrainedModel
    losses: tuple[float, ...]


def fine_tune(
    model: PreTrainedModel,
    examples: Sequence[Tokens],
    recipe: dict[str, Any],
    *,
    seed: int,
    scratch: Path,
    split: int = 1,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    checkpoints: Checkpoints | None = None,
    leaving: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> FineTuned:
    """Train in place for the recipe's steps or epochs; the order of the examples and every random choice follow the
    seed.

    Parameters
    ----------
    recipe : as it is stored; what it leaves out is as in forgetcast.recipe_defaults
    scratch : a folder for the trainer; that of `checkpoints`, where they are given
    split : a batch is read in at least so many parts, whose gradients are added up: less memory, the same updates
    checkpoints : training goes on from the newest one, to the same result as without the interruption
    leaving : asked after every step; true ends the run there, with a checkpoint
    ranks : processes that share each update, as if it were read in one

    Raises
    ------
    WoundDown
    UnsupportedModel : the model's own code does not take a batch of text for training
    LossNotFinite : the loss became infinite or not a number, usually from a learning rate that is too high
    """
    recipe = full_recipe(recipe)
    torch.manual_seed(seed)  # LoRA draws its first weights before the trainer sets the seed
    trained = with_adapter(model, recipe["lora"]) if recipe["method"] == "lora" else model
    if any_beyond(model, [len(tokens) for tokens in examples]):
        # Each example is then read alone, so that no gradient depends on which others share its part of a batch.
        split = recipe["batch_size"]
        model.register_forward_pre_hook(lambda module, _inputs: forget_lengths(module))
    rows = rows_of(examples, recipe)
    recipe["steps"] = n_steps(recipe, len(rows))
    part, n_parts = parts_of(recipe, split, ranks.size)
    if ranks.size > 1:
        rows = [row for batch in _updates(rows, recipe, seed) for row in ranks.share(batch, part, n_parts)]
    follow = _Follow(on_step, checkpoints, leaving, ranks)
    trainer = Trainer(
        model=trained,
        args=_arguments(recipe, seed, (part, n_parts), model.device, scratch, ranks),
        train_dataset=rows,
        data_collator=collate_rows if recipe["packing"] else collate,
        callbacks=[follow],
        compute_loss_func=None if _weighs_tokens(model) else token_loss,
    )
    trainer.remove_callback(PrinterCallback)
    try:
        trainer.train(resume_from_checkpoint=None if checkpoints is None else _newest(checkpoints, ranks))
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        if trainer.state.global_step:
            raise
        # Of the model's own code, on the first batch: another try would meet it again.
        raise UnsupportedModel(f"{type(model).__name__} cannot be fine-tuned: {error}") from error
    if trainer.state.global_step < recipe["steps"]:
        raise WoundDown(f"ended after step {trainer.state.global_step}")
    return FineTuned(trained, model, tuple(entry["loss"] for entry in trainer.state.log_history if "loss" in entry))


def rows_of(examples: Sequence[Tokens], recipe: dict[str, Any]) -> list[Any]:
    """What an update has `batch_size` of: examples, or with packing rows of them."""
    return list(pack(examples, recipe["max_tokens"])) if recipe.get("packing") else list(examples)


def collate(batch: Sequence[Tokens]) -> dict[str, Tensor]:
    """Pad on the right; labels are shifted by the model itself, so they stand at their own tokens."""
    width = max(len(tokens) for tokens in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    present = torch.zeros(len(batch), width, dtype=torch.long)
    labels = torch.full((len(batch), width), IGNORED)
    for row, tokens in enumerate(batch):
        sequence = torch.tensor(tokens.ids)
        ids[row, : len(tokens)] = sequence
        present[row, : len(tokens)] = 1
        labels[row, : len(tokens)] = sequence.where(torch.tensor(tokens.scored), IGNORED)
    return {"input_ids": ids, "attention_mask": present, "labels": labels}


def token_loss(outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
    """Negative log-probability of the labels, summed and divided by how many the whole batch has.

    For models whose own loss is the mean of a part of a batch: with it the update would depend on the parts.
    """
    logits = outputs.logits[:, :-1].float()
    wanted = labels[:, 1:].to(logits.device)
    summed = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), wanted.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
    return summed / (num_items_in_batch if num_items_in_batch is not None else (wanted != IGNORED).sum())


def _weighs_tokens(model: PreTrainedModel) -> bool:
    """Whether the model's own loss takes the number of labels of the whole batch, as the trainer decides it."""
    accepts = getattr(model, "accepts_loss_kwargs", None)
    if accepts is not None:
        return bool(accepts)
    parameters = inspect.signature(model.forward).parameters.values()
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _newest(checkpoints: Checkpoints, ranks: Ranks) -> str | None:
    found = ranks.told(checkpoints.newest() if ranks.first else None)
    return None if found is None else str(found)


def _updates(rows: Sequence[Any], recipe: dict[str, Any], seed: int) -> Iterator[list[Any]]:
    """What each update reads, in the order in which a single process is given it by the trainer's own sampler."""
    sampler = SeedableRandomSampler(rows, data_seed=seed)
    n_updates = 0
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        order = list(sampler)
        for start in range(0, len(order), recipe["batch_size"]):
            yield [rows[place] for place in order[start : start + recipe["batch_size"]]]
            n_updates += 1
            if n_updates == recipe["steps"]:
                return


def with_adapter(model: PreTrainedModel, lora: dict[str, Any]) -> PeftModel:
    lora = LORA_DEFAULTS | lora
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        target_modules=lora["target_modules"],
        use_dora=lora["use_dora"],
        use_rslora=lora["use_rslora"],
        modules_to_save=lora["modules_to_save"],
        # An embedding that is also the head stays one matrix, however much of it is trained.
        ensure_weight_tying=bool(lora["modules_to_save"] and model.config.get_text_config().tie_word_embeddings),
        exclude_modules=without_adapters(model, lora["target_modules"]),
    )
    adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    return adapted


def part_size(batch_size: int, split: int) -> int:
    """The largest size of equal parts of a batch, at least `split` of them where the batch has as many examples."""
    return next(size for size in range(max(1, batch_size // split), 0, -1) if batch_size % size == 0)


def parts_of(recipe: dict[str, Any], split: int, n_devices: int) -> tuple[int, int]:
    """How many examples of an update a device reads at once, and how many times."""
    own = -(-recipe["batch_size"] // n_devices)
    most = recipe["per_device_train_batch_size"] or own
    part = part_size(own, max(split, -(-own // most)))
    return part, own // part


def _arguments(
    recipe: dict[str, Any], seed: int, parts: tuple[int, int], device: torch.device, scratch: Path, ranks: Ranks
) -> TrainingArguments:
    part, n_parts = parts
    return TrainingArguments(
        output_dir=str(scratch),
        max_steps=recipe["steps"],
        per_device_train_batch_size=part,
        gradient_accumulation_steps=n_parts,
        train_sampling_strategy="random" if ranks.size == 1 else "sequential",  # already in the order of the seed
        learning_rate=recipe["learning_rate"],
        warmup_steps=recipe["warmup_steps"],
        lr_scheduler_type=recipe["schedule"],
        weight_decay=recipe["weight_decay"],
        bf16=recipe["dtype"] == "bfloat16",
        seed=seed,
        data_seed=seed,
        use_cpu=device.type == "cpu",
        max_grad_norm=recipe["max_grad_norm"],
        optim=recipe["optim"],
        adam_beta1=recipe["adam_beta1"],
        adam_beta2=recipe["adam_beta2"],
        adam_epsilon=recipe["adam_epsilon"],
        activation_checkpointing=recipe["activation_checkpointing"],
        use_liger_kernel=recipe["use_liger_kernel"],
        liger_kernel_config=FUSED_LOSS_ALONE if recipe["use_liger_kernel"] else None,
        activation_checkpointing_kwargs={"use_reentrant": False} if recipe["activation_checkpointing"] else None,
        logging_steps=1,
        logging_nan_inf_filter=False,  # by default a loss that is not finite is logged as the one before it
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
    )


class _Follow(TrainerCallback):
    """Reports each step's loss, stops a run whose loss is not finite, and has checkpoints made when it is time."""

    def __init__(
        self,
        on_step: Callable[[int, float], None],
        checkpoints: Checkpoints | None,
        leaving: Callable[[], bool],
        ranks: Ranks,
    ) -> None:
        self._on_step, self._checkpoints, self._leaving, self._ranks = on_step, checkpoints, leaving, ranks

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs is None or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise LossNotFinite(f"the loss is {loss} at step {state.global_step}; lower the recipe's learning rate")
        self._on_step(state.global_step, loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            return  # the fine-tuned weights are kept by themselves
        control.should_training_stop = leaving = self._ranks.any(self._leaving())
        due = self._checkpoints is not None and self._ranks.told(self._checkpoints.due())
        control.should_save = self._checkpoints is not None and (due or leaving)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._ranks.wait()  # each writes its own random state
        if self._checkpoints is not None and self._ranks.first:
            self._checkpoints.keep(state.global_step)
        self._ranks.wait()

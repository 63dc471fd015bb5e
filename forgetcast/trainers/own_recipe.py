"""The recipe of a user's own run, as far as its arguments say it; the matrix's where they do not."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from forgetcast.schemas import Recipe, Replay

SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup")


def own_recipe(args: Any, model: Any, usual: Recipe, replay: Replay, steps: int) -> Recipe:
    """Of a run that has made `steps` updates and replays. It is never the matrix's own, which replays nothing."""
    said: dict[str, Any] = {
        "learning_rate": args.learning_rate,
        "steps": steps,
        "batch_size": args.train_batch_size * max(1, args.world_size) * args.gradient_accumulation_steps,
        "warmup_steps": args.warmup_steps or 0,
        "weight_decay": args.weight_decay,
        "max_grad_norm": args.max_grad_norm,
        "dtype": "bfloat16" if args.bf16 else "float32",
        "per_device_train_batch_size": None,
        "num_train_epochs": None,
        "packing": False,
    }
    if str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)) in SCHEDULES:
        said["schedule"] = str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type))
    if getattr(args, "max_length", None):
        said["max_tokens"] = args.max_length
    known = usual.model_dump(mode="json") | {"replay": replay.model_dump(mode="json")}
    try:
        return Recipe.model_validate(known | said | _adapter(model))
    except ValidationError:  # arguments beyond what a recipe can say
        return Recipe.model_validate(known | {"steps": steps})


def _adapter(model: Any) -> dict[str, Any]:
    configs = getattr(model, "peft_config", None)
    if not configs:
        return {"method": "full", "lora": None}
    config = next(iter(configs.values()))
    if not hasattr(config, "r"):
        return {}
    modules = config.target_modules
    lora = {
        "rank": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "target_modules": modules if isinstance(modules, str) else sorted(modules),
    }
    return {"method": "lora", "lora": lora}

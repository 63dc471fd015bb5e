"""Recipe and setting of a new matrix: by options, from a file, or what is usual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.errors import ConfigurationError

if TYPE_CHECKING:
    from forgetcast.schemas import Recipe, Setting

F = TypeVar("F", bound=Callable[..., Any])

USUAL: dict[str, Any] = {"method": "full", "steps": 100, "batch_size": 8, "max_tokens": 512, "dtype": "bfloat16"}
LEARNING_RATE = {"full": 2e-5, "lora": 2e-4}  # what is usual for each, over a few hundred steps of AdamW
LORA_RANK = 16
FIELDS = ("method", "learning_rate", "steps", "num_train_epochs", "batch_size", "max_tokens", "dtype")
LENGTHS = {"steps", "num_train_epochs"}  # exactly one of them


def recipe_options(command: F) -> F:
    """--recipe, and an option for each field that recipes commonly differ in."""
    for option in reversed(
        [
            click.option(
                "--recipe",
                "recipe_file",
                type=INPUT_FILE,
                metavar="FILE",
                help='JSON of a recipe, or of {"recipe", "setting"}, as `matrix export --spec` writes it.',
            ),
            click.option("--method", type=click.Choice(["full", "lora"]), help="Of fine-tuning.  [default: full]"),
            click.option("--learning-rate", type=float, help="[default: 2e-5, with LoRA 2e-4]"),
            click.option("--steps", type=click.IntRange(1), help="Of fine-tuning.  [default: 100]"),
            click.option(
                "--epochs", "num_train_epochs", type=click.FloatRange(0, min_open=True), help="Instead of --steps."
            ),
            click.option("--batch-size", type=click.IntRange(1), help="Examples of a step.  [default: 8]"),
            click.option("--max-tokens", type=click.IntRange(2), help="Of an example.  [default: 512]"),
            click.option("--lora-rank", type=click.IntRange(1), help="With --method lora.  [default: 16]"),
            click.option(
                "--dtype",
                type=click.Choice(["bfloat16", "float32"]),
                help="Of fine-tuning and of measuring; float32 where there is no GPU.  [default: bfloat16]",
            ),
        ]
    ):
        command = option(command)
    return command


def recipe_and_setting(
    file: Path | None, usual: dict[str, Any], *, lora_rank: int | None = None, **given: Any
) -> tuple[Recipe, Setting]:
    """What the options say, then the file, then `usual` ({"recipe", "setting"}), then what is usual everywhere.

    Raises
    ------
    ConfigurationError : a file that is no recipe, or fields that do not go together
    """
    from pydantic import ValidationError

    from forgetcast.cli.shapes import first_wrong
    from forgetcast.schemas import Recipe, Setting

    if set(given) != set(FIELDS):
        raise TypeError(f"every one of {', '.join(FIELDS)} is given, as None where nobody chose it")
    told = usual if file is None else _read(file)
    recipe = dict(told.get("recipe") or {})
    chosen = {name: value for name, value in given.items() if value is not None}
    if LENGTHS & chosen.keys():
        recipe = {name: value for name, value in recipe.items() if name not in LENGTHS}
    recipe |= chosen
    recipe = {name: value for name, value in USUAL.items() if name != "steps" or not LENGTHS & recipe.keys()} | recipe
    recipe.setdefault("learning_rate", LEARNING_RATE[recipe["method"]])
    if recipe["method"] == "lora":
        rank = {} if lora_rank is None else {"rank": lora_rank, "alpha": 2.0 * lora_rank}
        recipe["lora"] = {"rank": LORA_RANK, "alpha": 2.0 * LORA_RANK} | dict(recipe.get("lora") or {}) | rank
    elif lora_rank is not None:
        raise click.UsageError("--lora-rank goes with --method lora")
    else:
        recipe.pop("lora", None)
    setting = dict(told.get("setting") or {})
    setting["dtype"] = given["dtype"] or setting.get("dtype") or recipe["dtype"]
    try:
        return Recipe.model_validate(recipe), Setting.model_validate(setting)
    except ValidationError as error:
        raise ConfigurationError(f"the recipe: {first_wrong(error)}") from error


def said(recipe: Recipe) -> str:
    """A recipe on one line, without what is as ever."""
    fields = recipe.model_dump(mode="json", exclude_none=True)
    lora = fields.pop("lora", None)
    parts = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in fields.items()]
    return ", ".join(parts + ([f"lora rank {lora['rank']}, alpha {lora['alpha']:g}"] if lora else []))


def _read(file: Path) -> dict[str, Any]:
    """What a file says of recipe and setting."""
    from codecs import BOM_UTF8

    from forgetcast import strict_json

    try:
        found = strict_json.load(file.read_bytes().removeprefix(BOM_UTF8))
    except ValueError as error:
        raise ConfigurationError(f"{shown_name(file)} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f'{shown_name(file)} must hold an object: a recipe, or {{"recipe", "setting"}}')
    if "recipe" in found or "setting" in found:
        return found
    return {"recipe": found}

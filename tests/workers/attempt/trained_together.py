"""What `test_devices` has a launcher start on several devices: fine-tunings of the tiny model, and their weights.

FOLDER/orders.json     name -> recipe
FOLDER/name.safetensors  the trained weights, and name.json the losses; by the first process
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.texts.tokens import Tokens, encode
from workers.attempt.training.fine_tune import fine_tune
from workers.attempt.training.ranks import ALONE, Ranks

SEED = 3


def examples() -> list[Tokens]:
    """Eleven, of different lengths: no batch size divides them."""
    tokenizer = character_tokenizer()
    lines = [{"prompt": f"{n} times two is ", "completion": f"{2 * n}." * (1 + n % 3)} for n in range(5, 16)]
    return [encode(tokenizer, line, scored="response", max_tokens=32) for line in lines]


def train(folder: Path, name: str, recipe: dict[str, Any], ranks: Ranks = ALONE, split: int = 1) -> None:
    tuned = fine_tune(
        tiny_llama(), examples(), recipe, seed=SEED, scratch=folder / f"{name}-trainer", split=split, ranks=ranks
    )
    if ranks.first:
        learned = {
            key: value.detach().clone() for key, value in tuned.trained.named_parameters() if value.requires_grad
        }
        save_file(learned, folder / f"{name}.safetensors")
        (folder / f"{name}.json").write_text(json.dumps(tuned.losses))


def main() -> None:
    folder, ranks = Path(sys.argv[1]), Ranks.joined()
    for name, recipe in json.loads((folder / "orders.json").read_bytes()).items():
        train(folder, name, recipe, ranks)
    ranks.part()


if __name__ == "__main__":
    main()

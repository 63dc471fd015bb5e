"""What a row costs is timed without leaving anything, and what could not be measured is refused before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forgetcast.errors import NotForModel, NothingToScore
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.timing import time_costs

RECIPE = {
    "method": "full",
    "learning_rate": 1e-3,
    "steps": 40,
    "batch_size": 2,
    "max_tokens": 32,
    "warmup_steps": 0,
    "schedule": "linear",
    "weight_decay": 0.0,
    "dtype": "float32",
    "lora": None,
}
SETTING = {"scored": "all", "max_tokens": 64, "dtype": "float32", "chat_template_sha256": None}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("timing")
    tiny_llama().save_pretrained(home / "model")
    character_tokenizer().save_pretrained(home / "model")
    lines = {
        "dataset": [{"text": f"a line of number {number}"} for number in range(8)],
        "upstream": [{"id": f"e{number}", "text": f"an example {number} " * 2} for number in range(150)],
        "empty": [{"id": "e", "text": ""}],
        "long": [{"id": "e", "text": "word " * 400}],
    }
    for name, content in lines.items():
        (home / name).write_text("".join(f"{json.dumps(line)}\n" for line in content))
    return {name: home / name for name in ("model", *lines)}


def timed(files: dict[str, Path], upstream: str = "upstream", **changes: Any) -> Any:
    setting = {**SETTING, **changes}
    return time_costs(files["model"], RECIPE, setting, files[upstream], files["dataset"])


def test_all_steps_and_all_examples_are_counted_and_the_model_stays_as_it_was(files: dict[str, Path]) -> None:
    before = {path.name: path.read_bytes() for path in files["model"].iterdir()}
    costs = timed(files)
    assert costs.device == "CPU" and min(costs.load, costs.fine_tune, costs.upstream) > 0
    assert {path.name: path.read_bytes() for path in files["model"].iterdir()} == before


def test_what_a_job_would_refuse_is_refused_before_any_is_ordered(files: dict[str, Path]) -> None:
    with pytest.raises(NotForModel, match="lower the setting's max_tokens"):
        timed(files, "long", max_tokens=1024)
    with pytest.raises(NothingToScore):
        timed(files, "empty")

"""The estimate of memory beside the measured peak of a real model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from bundled.model import model_folder
from tests.workers.attempt.training.test_fine_tune import FULL
from workers.attempt.checks.memory import LORA

BATCH = FULL | {"steps": 2, "batch_size": 8, "max_tokens": 64, "learning_rate": 1e-5}
RECIPES: dict[str, dict[str, Any]] = {
    "full": BATCH,
    "full, bfloat16 over float32": BATCH | {"dtype": "bfloat16"},
    "full, weights in bfloat16": BATCH | {"dtype": "bfloat16", "weights_dtype": "bfloat16"},
    "full, checkpointing, in parts": BATCH | {"activation_checkpointing": True, "per_device_train_batch_size": 4},
    "lora": BATCH | {"method": "lora", "lora": LORA},
    "lora, weights in bfloat16": BATCH
    | {"method": "lora", "lora": LORA, "dtype": "bfloat16", "weights_dtype": "bfloat16"},
}


@pytest.mark.zoo
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (model_folder() / "model.safetensors").exists(), reason="the bundled model is not here")
@pytest.mark.skipif(sys.platform != "linux", reason="the process's own memory is asked of Linux")
@pytest.mark.parametrize("name", RECIPES)
def test_the_estimate_is_within_a_quarter_of_what_is_measured(name: str) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.workers.attempt.checks.peak_memory",
        str(model_folder()),
        json.dumps(RECIPES[name]),
    ]
    # Freed tensors go back at once, so that the peak is of what is in use.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 20)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=800, check=True)
    expected, measured = map(int, done.stdout.split())
    print(f"{name}: {expected / 1e9:.2f} GB estimated, {measured / 1e9:.2f} GB measured")
    assert 0.75 * measured < expected < 1.25 * measured

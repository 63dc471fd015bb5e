"""The peak of this process's own memory while it loads and fine-tunes, beside the estimate.

    python -m tests.workers.attempt.checks.peak_memory MODEL_FOLDER RECIPE_AS_JSON

Two numbers of bytes on stdout, estimated and measured. Weights that are mapped from files of the same precision, and
not changed, are not the process's own: the estimate counts them, and so they are added here.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from workers.attempt.checks.memory import estimate
from workers.attempt.model.loading import Loading
from workers.attempt.model.model_folder import load_model
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import fine_tune


def own_memory() -> int:
    """Bytes of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Peak:
    def __init__(self) -> None:
        self.before = self.most = own_memory()
        self._running = True
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while self._running:
            self.most = max(self.most, own_memory())
            time.sleep(0.003)

    def end(self) -> int:
        self._running = False
        self._thread.join()
        return self.most - self.before


def main() -> None:
    folder, recipe = Path(sys.argv[1]), json.loads(sys.argv[2])
    length = recipe["max_tokens"]
    drawn = random.Random(0)
    examples = [
        Tokens(tuple(drawn.randrange(1000) for _ in range(length)), (False,) + (True,) * (length - 1))
        for _ in range(16)
    ]
    loading = Loading.of(recipe)
    peak = Peak()
    model: Any = load_model(folder, torch.device("cpu"), loading)[0]
    loaded = own_memory() - peak.before
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    mapped = max(0, weights - loaded) if recipe["method"] == "lora" else 0
    expected = estimate(model, recipe, longest=length).peak
    with tempfile.TemporaryDirectory() as scratch:
        fine_tune(model, examples, recipe, seed=1, scratch=Path(scratch))
    print(int(expected), peak.end() + mapped)


if __name__ == "__main__":
    main()

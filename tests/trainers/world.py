"""A service over HTTP with a matrix about conversations, and the smallest run of TRL's trainer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from forgetcast import ForgetcastClient
from forgetcast.schemas import MatrixCreate
from forgetcast.trainers import OnlineReplay
from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import Table
from tests.fits import fit_due_matrix
from tests.slow_clients import serving
from tests.trainers.runs import N_EXAMPLES, RECIPE, SETTING, UPSTREAM, arguments
from tests.workers.language_models import character_tokenizer, tiny_llama


class Live:
    """A service that can be stopped in the middle of a test."""

    def __init__(self, home: Path, database: Database) -> None:
        (home / "model").mkdir()
        (home / "model" / "model.safetensors").write_bytes(b"weights")
        (home / "models.toml").write_text(f'[models.tiny]\nfolder = "{home / "model"}"\n')
        settings = Settings(home=home, cache_dir=home / "cache", models=home / "models.toml")
        self._stack = ExitStack()
        port = self._stack.enter_context(serving(create_app(settings, database, NoQueue())))
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self._stack.close()


@contextmanager
def live_service(home: Path) -> Iterator[Live]:
    """With an upstream set of texts, the matrix "m" and eight known rows, fitted."""
    database = Database(f"sqlite:///{home / 'forgetcast.db'}")
    Table.metadata.create_all(database.engine)
    live = Live(home, database)
    try:
        with ForgetcastClient(url=live.url) as client:
            lines = b"".join(json.dumps(example).encode() + b"\n" for example in UPSTREAM)
            client.upstream_sets.register(lines, id="set")
            matrix = MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE, setting=SETTING)
            client.matrices.create(matrix)
            random = np.random.default_rng(0)
            rows = random.normal(size=(8, 2)) @ random.normal(size=(2, N_EXAMPLES)) * 0.1
            rows += 0.1 + 0.01 * random.normal(size=rows.shape)
            for place, row in enumerate(rows.astype(np.float32)):
                client.matrices.put_row("m", f"known-{place}", row, family=f"family-{place}", n_examples=40, seed=1)
        assert fit_due_matrix(database)
        yield live
    finally:
        live.stop()
        database.close()


def sft_trainer(replay: OnlineReplay, folder: Path, **changes: Any) -> SFTTrainer:
    tokenizer = character_tokenizer()
    tokenizer.eos_token = "<unk>"
    config = SFTConfig(**arguments(folder, max_length=64, bf16=False, **changes))
    return SFTTrainer(tiny_llama(), args=config, train_dataset=replay.dataset, processing_class=tokenizer)

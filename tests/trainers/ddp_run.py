"""One process of distributed runs: `ddp_run.py FOLDER URL...`; what it saw of each goes into FOLDER/rank-N.json."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from forgetcast import ForgetcastClient
from forgetcast.trainers import OnlineReplay
from forgetcast.trainers.callback import ReplayCallback
from tests.trainers.runs import TASK, UPSTREAM, plain_trainer, rows_read


def main(folder: Path, urls: list[str]) -> None:
    rank = int(os.environ["RANK"])
    # Only the first process may speak to the service: the second one has no address of it.
    seen = [run(folder, url if rank == 0 else "http://127.0.0.1:9") for url in urls]
    (folder / f"rank-{rank}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


def run(folder: Path, url: str) -> dict[str, Any]:
    with ForgetcastClient(url=url, timeout=timedelta(seconds=20)) as client:
        replay = OnlineReplay(TASK, UPSTREAM, matrix="m", ratio=0.5, client=client, n_probes=12)
        trainer = plain_trainer(replay, folder, ddp_backend="gloo", max_steps=20)
        sampler = replay.attach(trainer)
        trainer.train()
    phase = next(one for one in trainer.callback_handler.callbacks if isinstance(one, ReplayCallback)).phase
    model: Any = trainer.model
    weights = [parameter.detach().double().sum().item() for parameter in model.parameters()]
    return {"rows": rows_read(trainer), "phase": phase, "schedule": sampler.schedule_state(), "weights": weights}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""One process of a distributed run: `ddp_run.py URL FOLDER`; the rows that it was given go into FOLDER/rank-N.json."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path

import torch

from forgetcast import ForgetcastClient
from forgetcast.trainers import OnlineReplay
from forgetcast.trainers.callback import ReplayCallback
from tests.trainers.world import TASK, UPSTREAM, plain_trainer, rows_read


def main(url: str, folder: Path, **changes: str) -> None:
    rank = int(os.environ["RANK"])
    # Only the first process may speak to the service: the second one has no address of it.
    with ForgetcastClient(url=url if rank == 0 else "http://127.0.0.1:9", timeout=timedelta(seconds=20)) as client:
        replay = OnlineReplay(TASK, UPSTREAM, matrix="m", ratio=0.5, client=client, n_probes=12)
        trainer = plain_trainer(replay, folder, ddp_backend="gloo", max_steps=20, **changes)
        sampler = replay.attach(trainer)
        trainer.train()
    phase = next(one for one in trainer.callback_handler.callbacks if isinstance(one, ReplayCallback)).phase
    weights = [parameter.detach().double().sum().item() for parameter in trainer.model.parameters()]
    seen = {"rows": rows_read(trainer), "phase": phase, "schedule": sampler.schedule_state(), "weights": weights}
    (folder / f"rank-{rank}.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

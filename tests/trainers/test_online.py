"""Online replay in real runs of a tiny model, with a service over HTTP that lives, dies, or hangs."""

from __future__ import annotations

import logging
import random
import socket
from datetime import timedelta

import numpy as np
import pytest
import torch

from forgetcast import ForgetcastClient
from forgetcast.errors import InvalidRequest, OutOfRange
from forgetcast.trainers import OnlineReplay, ReplaySampler, upstream_pool
from forgetcast.trainers.callback import ReplayCallback
from tests.trainers.world import (
    N_EXAMPLES,
    N_HELD_OUT,
    TASK,
    UPSTREAM,
    Seen,
    live_service,
    plain_trainer,
    sft_trainer,
)

# TRL 1.16 sets a name that transformers has given up.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")

STEPS, MEASURED_AT = 30, 3
FIRST_WEIGHTED = (MEASURED_AT + 3) * 4  # a tenth of 30 batches after the third, of 4 rows


@pytest.fixture
def live(tmp_path, sqlite_database):
    (tmp_path / "home").mkdir()
    with live_service(tmp_path / "home", sqlite_database) as live:
        yield live


@pytest.fixture
def client(live):
    with ForgetcastClient(url=live.url, timeout=timedelta(seconds=10)) as client:
        yield client


@pytest.fixture
def replay(client):
    return a_replay(client)


def a_replay(client, **changes):
    options = {"matrix": "m", "ratio": 0.5, "client": client, "n_probes": 12, "patience": timedelta(seconds=10)}
    return OnlineReplay(TASK, UPSTREAM, **options | changes)


def phase_of(trainer):
    return next(one for one in trainer.callback_handler.callbacks if isinstance(one, ReplayCallback)).phase


def uniform_rows(replay):
    """What the whole run would have read without a forecast."""
    return ReplaySampler(replay.dataset, len(TASK), 0.5, 0).rows(0, STEPS * 4)


def rows_read(trainer):
    """Rows of the data set that the trainer was given, in order."""
    place = {tuple(row): number for number, row in enumerate(trainer.train_dataset["input_ids"])}
    assert len(place) == len(trainer.train_dataset)
    pad = trainer.processing_class.pad_token_id
    return [place[strip(row, pad)] for batch in trainer.batches for row in batch]


def strip(row, pad):
    end = len(row)
    while end and row[end - 1] == pad:
        end -= 1
    return row[:end]


@pytest.fixture(autouse=True)
def distinct_tasks(monkeypatch):
    """Rows of the task that can be told apart by their tokens."""


def test_the_data_set_is_the_task_and_behind_it_what_may_be_replayed(replay):
    assert len(replay.dataset) == len(TASK) + N_EXAMPLES - N_HELD_OUT
    assert replay.dataset[0] == TASK[0] and replay.dataset.column_names == ["messages"]
    assert replay.pool_ids[0] == f"e{N_HELD_OUT:02}"


def test_a_plain_trainer_replays_by_the_forecast_of_its_own_run(replay, client, tmp_path):
    trainer = plain_trainer(replay, tmp_path / "run")
    sampler = replay.attach(trainer)
    trainer.train()
    assert phase_of(trainer) == "weighed"
    (phase,) = sampler.schedule
    assert phase.start == FIRST_WEIGHTED
    rows, uniform = rows_read(trainer), uniform_rows(replay)
    assert rows == sampler.rows(0, STEPS * 4)
    assert rows[:FIRST_WEIGHTED] == uniform[:FIRST_WEIGHTED] and rows != uniform
    (mine,) = [task for task in client.tasks.list(matrix="m") if not task.known]
    assert (mine.n_measured, mine.measure, mine.n_examples) == (12, "none", len(TASK))
    forecast = client.tasks.forecast(mine.id)
    assert not forecast.same_recipe
    # The weights are those of the forecast: the most forgotten example weighs most.
    values = dict(zip([one["id"] for one in UPSTREAM], client.tasks.to_numpy(mine.id), strict=True))
    most = max(replay.pool_ids, key=values.__getitem__)
    assert replay.pool_ids[int(np.argmax(phase.weights))] in (most, *[i for i in values if values[i] == values[most]])


def test_what_is_measured_is_what_the_model_forgot(replay, client, tmp_path):
    """The first probes are measured before the first step: a fresh model gives the same numbers."""
    trainer = plain_trainer(replay, tmp_path / "run")
    replay.attach(trainer)
    trainer.train()
    callback = next(one for one in trainer.callback_handler.callbacks if isinstance(one, ReplayCallback))
    fresh = plain_trainer(replay, tmp_path / "fresh")
    fresh_callback = ReplayCallback(replay, fresh, replay.sampler)
    fresh_callback.named = callback.named
    assert fresh_callback._measured() == pytest.approx(callback.before, abs=1e-6)
    assert all(np.isfinite(value) for value in callback.before.values()) and len(callback.before) == 12


def test_trl_replays_by_the_forecast_too(replay, client, tmp_path):
    trainer = sft_trainer(replay, tmp_path / "run")
    sampler = replay.attach(trainer)
    trainer.train()
    assert phase_of(trainer) == "weighed" and sampler.schedule[0].start == FIRST_WEIGHTED
    assert [task.n_measured for task in client.tasks.list(matrix="m") if not task.known] == [12]


def test_measuring_leaves_the_run_as_it_was(live, client, tmp_path):
    """A run in which the service is measured for and then ignored ends at the very weights of one without it."""
    weights = []
    for number, patience in enumerate((10, 1e-9)):
        replay = a_replay(client, temperature=1e9, patience=timedelta(seconds=10))
        trainer = plain_trainer(replay, tmp_path / f"run-{number}", max_steps=12)
        seen = Seen()
        trainer.add_callback(seen)
        replay.attach(trainer)
        if number:
            live.stop()
        trainer.model.model.layers[0].self_attn.register_forward_hook(
            lambda module, inputs, output: (torch.rand(1) if module.training else None) and None
        )
        trainer.train()
        assert all(seen.training)
        weights.append([parameter.detach().clone() for parameter in trainer.model.parameters()])
        states = torch.rand(1), random.random(), np.random.random()
        weights[-1].append(torch.tensor([states[0].item(), *states[1:]], dtype=torch.float64))
        assert phase_of(trainer) == ("weighed", "uniform")[number]
    sure = [torch.equal(one, other) for one, other in zip(*weights, strict=True)]
    assert sure[-1]


def test_a_service_that_dies_half_way_leaves_uniform_replay(live, replay, tmp_path, caplog):
    trainer = plain_trainer(replay, tmp_path / "run")
    trainer.add_callback(Seen(at=2, do=live.stop))
    sampler = replay.attach(trainer)
    with caplog.at_level(logging.WARNING, "forgetcast.trainers"):
        trainer.train()
    assert trainer.state.global_step == STEPS
    assert (phase_of(trainer), sampler.schedule) == ("uniform", [])
    assert rows_read(trainer) == uniform_rows(replay)
    said = [record.getMessage() for record in caplog.records if record.name == "forgetcast.trainers"]
    assert len(said) == 1 and "replay stays uniform" in said[0] and "the forecast did not come" in said[0]


def test_a_service_that_is_not_there_is_said_once_and_costs_no_step(tmp_path, caplog):
    with ForgetcastClient(url=f"http://127.0.0.1:{free_port()}", timeout=timedelta(seconds=1)) as client:
        replay = a_replay(client)
        trainer = sft_trainer(replay, tmp_path / "run", max_steps=12)
        replay.attach(trainer)
        with caplog.at_level(logging.WARNING, "forgetcast.trainers"):
            trainer.train()
    assert trainer.state.global_step == 12 and phase_of(trainer) == "uniform"
    assert [record.levelname for record in caplog.records if record.name == "forgetcast.trainers"] == ["WARNING"]


def test_a_service_that_hangs_is_waited_for_no_longer_than_was_said(tmp_path, caplog):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with ForgetcastClient(url=f"http://127.0.0.1:{port}", timeout=timedelta(minutes=5)) as client:
            replay = a_replay(client, patience=timedelta(seconds=0.5))
            trainer = plain_trainer(replay, tmp_path / "run", max_steps=12)
            replay.attach(trainer)
            trainer.train()
    assert phase_of(trainer) == "uniform" and "longer than 0.5 s" in caplog.text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("stop", [2, 4, 10])
@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation_steps": 2, "max_steps": 20}])
def test_a_resumed_run_reads_exactly_what_the_whole_one_reads(client, tmp_path, stop, changes):
    """Stopped before the measuring, between it and the first weighted draw, and after it."""
    whole = plain_trainer(replay := a_replay(client), tmp_path / "whole", **changes)
    replay.attach(whole)
    whole.train()

    saving = {"save_strategy": "steps", "save_steps": stop, **changes}
    first = plain_trainer(replay := a_replay(client), tmp_path / "run", **saving)
    replay.attach(first)
    first.add_callback(Seen(at=stop, do=lambda: setattr(first.control, "should_training_stop", True)))
    first.train()
    assert first.state.global_step == stop

    again = plain_trainer(replay := a_replay(client), tmp_path / "run", **saving)
    sampler = replay.attach(again)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{stop}"))
    assert rows_read(first) + rows_read(again) == rows_read(whole)
    assert phase_of(whole) == phase_of(again) == "weighed" and len(sampler.schedule) == 1


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_read_the_same_rows_of_a_run_that_is_long_enough(client, tmp_path, workers):
    rows = []
    for n in (0, workers):
        replay = a_replay(client, lead=6)
        trainer = plain_trainer(replay, tmp_path / f"workers-{n}", dataloader_num_workers=n)
        replay.attach(trainer)
        trainer.train()
        assert phase_of(trainer) == "weighed"
        rows.append(rows_read(trainer))
    assert rows[0] == rows[1]


def test_another_runs_checkpoint_is_not_followed(client, tmp_path, caplog):
    first = plain_trainer(replay := a_replay(client), tmp_path / "run", save_strategy="steps", save_steps=10)
    replay.attach(first)
    first.train()
    again = plain_trainer(replay := a_replay(client, seed=5), tmp_path / "run")
    replay.attach(again)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-10"))
    assert phase_of(again) == "uniform" and "another data set, ratio or seed" in caplog.text


def test_the_final_model_is_a_task_of_its_own_that_trains_nothing(client, tmp_path):
    replay = a_replay(client, measure_final=True, task_id="mine")
    trainer = plain_trainer(replay, tmp_path / "run", max_steps=40, gradient_accumulation_steps=1)
    before = client.matrices.get("m").version
    replay.attach(trainer)
    trainer.train()
    final = client.tasks.get("mine.final")
    assert not final.task.known and final.task.n_measured == 12
    assert not final.forecast().same_recipe
    assert client.matrices.get("m").version == before


def test_too_short_a_run_says_so_and_replays_evenly(replay, tmp_path, caplog):
    trainer = plain_trainer(replay, tmp_path / "run", max_steps=3)
    replay.attach(trainer)
    trainer.train()
    assert phase_of(trainer) == "uniform" and "offline replay" in caplog.text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"packing": True, "max_length": 64}, "packing=False"),
        ({"train_sampling_strategy": "group_by_length"}, "group_by_length"),
        ({"shuffle_dataset": True}, "shuffle_dataset"),
    ],
)
def test_what_undoes_replay_is_refused_before_the_run(replay, tmp_path, changes, said):
    trainer = sft_trainer(replay, tmp_path / "run")
    for name, value in changes.items():
        setattr(trainer.args, name, value)
    with pytest.raises(InvalidRequest, match=said):
        replay.attach(trainer)


def test_rows_that_were_left_out_on_the_way_are_refused(replay, tmp_path):
    trainer = plain_trainer(replay, tmp_path / "run")
    trainer.train_dataset = trainer.train_dataset.select(range(10))
    with pytest.raises(InvalidRequest, match="10 rows"):
        replay.attach(trainer)


def test_a_pool_comes_from_the_service_or_from_a_file(client, tmp_path):
    import json

    pool = upstream_pool("m", client=client)
    assert [one.id for one in pool] == [one["id"] for one in UPSTREAM]
    file = tmp_path / "upstream.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in UPSTREAM))
    assert OnlineReplay(TASK, file, matrix="m").pool_ids == OnlineReplay(TASK, pool, matrix="m").pool_ids


@pytest.mark.parametrize("changes", [{"measure_at": 0.0}, {"measure_at": 1.0}, {"n_probes": 0}, {"temperature": 0.0}])
def test_options_that_mean_nothing_are_refused(changes):
    with pytest.raises(OutOfRange):
        OnlineReplay(TASK, UPSTREAM, matrix="m", **changes)


def test_a_pool_of_held_out_examples_has_nothing_to_replay():
    with pytest.raises(InvalidRequest, match="held out"):
        OnlineReplay(TASK, UPSTREAM[:N_HELD_OUT], matrix="m")

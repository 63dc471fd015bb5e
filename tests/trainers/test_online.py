"""Online replay in real runs of a tiny model, with a service over HTTP that lives, dies, or hangs."""

from __future__ import annotations

import json
import logging
import random
import socket
from datetime import timedelta
from typing import Any

import datasets
import numpy as np
import pytest
import torch

from forgetcast import ForgetcastClient
from forgetcast.errors import InvalidRequest, OutOfRange
from forgetcast.trainers import OnlineReplay, ReplaySampler, upstream_pool
from forgetcast.trainers.callback import ReplayCallback
from tests.trainers.runs import (
    N_EXAMPLES,
    N_HELD_OUT,
    TASK,
    UPSTREAM,
    Seen,
    free_port,
    plain_trainer,
    rows_read,
    tokenised,
)
from tests.trainers.world import live_service, sft_trainer

# TRL 1.16 sets a name that transformers has given up.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")

STEPS, MEASURED_AT = 30, 3
WEIGHTED_AFTER = MEASURED_AT + 3  # batches: a tenth of the run later
FIRST_WEIGHTED = WEIGHTED_AFTER * 4  # draw


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with live_service(tmp_path_factory.mktemp("home")) as live, ForgetcastClient(url=live.url) as client:
        yield client


def newest_task(client):
    return max((task for task in client.tasks.list(matrix="m") if not task.known), key=lambda task: task.created_at)


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


def test_the_data_set_is_the_task_and_behind_it_what_may_be_replayed(replay):
    assert len(replay.dataset) == len(TASK) + N_EXAMPLES - N_HELD_OUT
    assert (
        replay.dataset[0]["messages"] == TASK[0]["messages"]
        and replay.dataset.features["messages"] == TASK.features["messages"]
    )
    assert replay.dataset["forgetcast_row"][:] == list(range(94))
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
    mine = newest_task(client)
    assert (mine.n_measured, mine.measure, mine.n_examples) == (12, "none", len(TASK))
    forecast = client.tasks.forecast(mine.id)
    assert not forecast.same_recipe
    forgetting = client.tasks.to_numpy(mine.id)[N_HELD_OUT:]
    expected = np.exp((forgetting - forgetting.max()) / (forgetting.std() / 4))
    share = np.minimum(expected / expected.sum(), phase.weights.max())
    assert np.argsort(phase.weights)[:30].tolist() == np.argsort(share)[:30].tolist()


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
    assert newest_task(client).n_measured == 12


def test_measuring_leaves_the_run_as_it_was(client, tmp_path):
    """A run that was measured twice and one without a service are the same bits until the first weighted draw."""
    ends = []
    for place, asked in enumerate((client, ForgetcastClient(url=f"http://127.0.0.1:{free_port()}"))):
        trainer = plain_trainer(replay := a_replay(asked), tmp_path / f"run-{place}")
        model: Any = trainer.model
        model.model.layers[0].mlp.register_forward_hook(
            lambda module, _inputs, output: torch.nn.functional.dropout(output, 0.2, module.training)
        )
        trainer.add_callback(seen := Seen(at=WEIGHTED_AFTER, do=lambda: end(trainer)))  # noqa: B023
        replay.attach(trainer)
        trainer.train()
        assert all(seen.training) and trainer.state.global_step == WEIGHTED_AFTER
        assert phase_of(trainer) == ("weighed", "uniform")[place]
        state = (torch.rand(2).tolist(), random.random(), float(np.random.random()))
        ends.append(([parameter.detach().clone() for parameter in model.parameters()], state))
    (weights, state), (others, other_state) = ends
    assert state == other_state
    assert all(torch.equal(one, other) for one, other in zip(weights, others, strict=True))


def end(trainer):
    trainer.control.should_training_stop = True


def test_a_service_that_dies_half_way_leaves_uniform_replay(tmp_path, caplog):
    (tmp_path / "home").mkdir()
    with live_service(tmp_path / "home") as live, ForgetcastClient(url=live.url) as client:
        trainer = plain_trainer(replay := a_replay(client), tmp_path / "run")
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


@pytest.mark.parametrize("changes", [{}, {"gradient_accumulation_steps": 2, "max_steps": 20}])
def test_a_resumed_run_reads_exactly_what_the_whole_one_reads(client, tmp_path, changes):
    """Resumed before the measuring, between it and the first weighted draw, and after it."""
    saving = {"save_strategy": "steps", "save_steps": 1, **changes}
    whole = plain_trainer(replay := a_replay(client), tmp_path / "run", **saving)
    replay.attach(whole)
    whole.train()
    expected, per_step = rows_read(whole), 4 * changes.get("gradient_accumulation_steps", 1)
    for step in (1, 3, 4, 17):
        again = plain_trainer(replay := a_replay(client), tmp_path / f"from-{step}", **changes)
        sampler = replay.attach(again)
        again.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{step}"))
        # An epoch has 60 rows and 15 batches, so with two batches a step its eighth step has one.
        read = sum(len(batch) for batch in whole.batches) - len(rows_read(again))
        assert rows_read(again) == expected[read:] and read == rows_before(step, per_step)
        assert phase_of(again) == "weighed" and len(sampler.schedule) == 1


def rows_before(step, per_step):
    epochs, within = divmod(step, -(-60 // per_step))
    return epochs * 60 + min(within * per_step, 60)


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


def test_rows_that_were_left_out_without_a_trace_are_refused(replay, tmp_path):
    trainer = plain_trainer(replay, tmp_path / "run")
    trainer.train_dataset = tokenised(replay.dataset).select(range(10))
    with pytest.raises(InvalidRequest, match="10 rows"):
        replay.attach(trainer)


def test_rows_that_trl_leaves_out_are_known(client, tmp_path):
    """A prompt that fills `max_length` has nothing to learn from; TRL leaves its row out, of task or pool."""
    long = {"prompt": [{"role": "user", "content": "x" * 90}], "completion": [{"role": "assistant", "content": "y"}]}
    short = {**long, "prompt": [{"role": "user", "content": "x"}]}
    pool = [{**one, "messages": [{"role": "user", "content": "w" * 90}, *one["messages"][1:]]} for one in UPSTREAM[:10]]
    replay = OnlineReplay(
        datasets.Dataset.from_list([short, long, short]), pool + UPSTREAM[10:], matrix="m", ratio=1.0, client=client
    )
    trainer = sft_trainer(replay, tmp_path / "run")
    sampler = replay.attach(trainer)
    assert (sampler.n_task, sampler.n_pool, replay.pool_ids[0]) == (2, N_EXAMPLES - 10, "e10")
    rows: Any = trainer.train_dataset
    assert len(rows) == 2 + N_EXAMPLES - 10


def test_rows_in_another_order_are_refused(replay, tmp_path):
    trainer = sft_trainer(replay, tmp_path / "run")
    trainer.train_dataset = replay.dataset.shuffle(seed=0)
    with pytest.raises(InvalidRequest, match="another order"):
        replay.attach(trainer)


def test_a_pool_comes_from_the_service_or_from_a_file(client, tmp_path):
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

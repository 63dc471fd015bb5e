"""The stream of a ReplaySampler: a function of seed, schedule and draw index."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetcast.errors import InvalidRequest
from forgetcast.trainers import ReplaySampler

N_TASK, N_POOL = 40, 24
ROWS = range(N_TASK + N_POOL)
STEEP = np.exp(-np.arange(N_POOL, dtype=np.float64))


def a_sampler(seed: int = 0, ratio: float = 0.25, **more) -> ReplaySampler:
    return ReplaySampler(ROWS, N_TASK, ratio, seed, **more)


def replayed(rows: list[int]) -> list[int]:
    return [row - N_TASK for row in rows if row >= N_TASK]


def test_an_epoch_has_every_row_of_the_task_once_and_replayed_ones_evenly_between():
    rows = list(a_sampler())
    assert len(rows) == len(a_sampler()) == 50
    assert sorted(row for row in rows if row < N_TASK) == list(range(N_TASK))
    assert all(1 <= len(replayed(rows[place : place + 6])) <= 2 for place in range(0, 48, 6))


def test_epochs_and_seeds_differ_and_the_same_ones_do_not():
    sampler = a_sampler()
    first, second = list(sampler), list(sampler)
    assert first != second and first != list(a_sampler(seed=1)) and first == list(a_sampler())
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_replay_is_without_replacement_within_an_epoch_until_all_are_drawn():
    drawn = replayed(list(a_sampler(ratio=1.5)))
    assert sorted(drawn[:N_POOL]) == sorted(set(drawn[:N_POOL])) == list(range(N_POOL))
    assert max(Counter(drawn).values()) == 3


def test_weights_change_what_is_replayed_from_their_draw_on_and_nothing_before():
    sampler, uniform = a_sampler(), a_sampler()
    sampler.weigh(STEEP, start=75)
    assert sampler.rows(0, 75) == uniform.rows(0, 75)
    later = replayed(sampler.rows(75, 2000))
    assert Counter(later).most_common(1)[0][0] == 0
    assert np.mean(np.array(later) < 8) > 0.8
    task = [row for row in sampler.rows(0, 2000) if row < N_TASK]
    assert task == [row for row in uniform.rows(0, 2000) if row < N_TASK]


def test_what_weighs_nothing_is_never_replayed():
    weights = np.where(np.arange(N_POOL) < 3, 1.0, 0.0)
    assert set(replayed(a_sampler(weights=weights).rows(0, 500))) == {0, 1, 2}


def test_draws_follow_the_weights():
    weights = np.array([3.0, 1.0] + [0.0] * (N_POOL - 2))
    firsts = [replayed(a_sampler(seed=seed, ratio=1 / 40, weights=weights).rows(0, 41))[0] for seed in range(400)]
    assert np.mean(np.array(firsts) == 0) == pytest.approx(0.75, abs=0.07)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 149), st.integers(0, 2**40), st.integers(60, 140))
def test_a_state_that_went_through_json_resumes_the_stream(stop, seed, switch):
    whole = a_sampler(seed=seed)
    whole.weigh(STEEP, start=switch)
    expected = whole.rows(0, 150)

    stopped = a_sampler(seed=seed)
    stopped.weigh(STEEP, start=switch)
    taken: list[int] = []
    while len(taken) < stop:
        for row in stopped:
            taken.append(row)
            if len(taken) == stop:
                break
    resumed = a_sampler(seed=seed)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    while len(taken) < 150:
        taken += list(resumed)
    assert taken[:150] == expected


def test_weights_that_come_in_the_middle_of_an_epoch_are_used_by_the_running_iterator():
    sampler = a_sampler()
    stream = iter(sampler)
    taken = [next(stream) for _ in range(10)]
    sampler.weigh(STEEP, start=20)
    assert taken + list(stream) == sampler.rows(0, 50)
    again = a_sampler(weights=None)
    again.weigh(STEEP, start=20)
    assert sampler.rows(0, 50) == list(again)


def test_draws_that_were_handed_out_are_not_weighed_again():
    sampler = a_sampler()
    stream = iter(sampler)
    for _ in range(12):
        next(stream)
    with pytest.raises(InvalidRequest, match="draw 5 was handed out"):
        sampler.weigh(STEEP, start=5)


@pytest.mark.parametrize("weights", [np.ones(3), np.full(N_POOL, np.nan), -np.ones(N_POOL), np.zeros(N_POOL)])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(InvalidRequest, match="weight"):
        a_sampler().weigh(weights, start=0)


def test_the_state_of_another_sampler_is_refused():
    with pytest.raises(InvalidRequest, match="seed 1"):
        a_sampler().load_state_dict(a_sampler(seed=1).state_dict())


@pytest.mark.parametrize("n_task", [0, len(ROWS)])
def test_nothing_to_mix_is_refused(n_task):
    with pytest.raises(InvalidRequest, match="nothing to mix"):
        ReplaySampler(ROWS, n_task)


class Numbers(torch.utils.data.Dataset[int]):
    def __len__(self) -> int:
        return len(ROWS)

    def __getitem__(self, place: int) -> int:
        return place


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_loader_workers_change_nothing(workers):
    sampler = a_sampler(weights=STEEP)
    loader = torch.utils.data.DataLoader(Numbers(), batch_size=8, sampler=sampler, num_workers=workers)
    rows = [int(row) for _epoch in range(2) for batch in loader for row in batch]
    assert rows == a_sampler(weights=STEEP).rows(0, 100)

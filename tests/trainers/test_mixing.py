"""The task's data and a replay set in one Dataset."""

from __future__ import annotations

from collections import Counter

import datasets
import pytest

from forgetcast.errors import InvalidRequest, OutOfRange
from forgetcast.trainers import mix
from forgetcast.trainers.mixing import n_replayed
from tests.trainers.sets import CHAT, conversations

TASK = datasets.Dataset.from_dict({"prompt": [f"q{n}" for n in range(40)], "completion": [f"a{n}" for n in range(40)]})
REPLAY = datasets.Dataset.from_dict(
    {"id": list("abcde"), "prompt": [f"old{n}" for n in range(5)], "completion": ["x"] * 5, "weight": [0.2] * 5}
)


@pytest.mark.parametrize(
    ("n", "ratio", "of", "expected"),
    [(320, 1 / 32, "task", 10), (30, 0.1, "task", 3), (33, 1 / 32, "task", 2), (10, 2.0, "task", 20),
     (300, 0.25, "mix", 100), (10, 0.5, "mix", 10), (90, 0.1, "mix", 10)],
)  # fmt: skip
def test_both_meanings_of_a_ratio(n, ratio, of, expected):
    assert n_replayed(n, ratio, of) == expected


@pytest.mark.parametrize(("ratio", "of"), [(0, "task"), (-1, "task"), (float("nan"), "task"), (1, "mix")])
def test_a_ratio_that_means_nothing_is_refused(ratio, of):
    with pytest.raises(OutOfRange):
        n_replayed(10, ratio, of)


def test_an_unknown_meaning_is_refused():
    with pytest.raises(InvalidRequest, match='"task" or of the "mix"'):
        n_replayed(10, 0.1, "total")  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [0.05, 0.1, 0.5, 2.0])
def test_every_row_of_the_task_is_there_once_whatever_the_ratio(ratio):
    mixed = mix(TASK, REPLAY, ratio, seed=3)
    counts = Counter(mixed["prompt"])
    assert {counts[f"q{n}"] for n in range(40)} == {1}
    assert len(mixed) == 40 + int(40 * ratio)
    assert mixed.column_names == ["prompt", "completion"] and mixed.features == TASK.features


def test_replayed_rows_are_repeated_evenly_when_there_are_too_few():
    counts = Counter(mix(TASK, REPLAY, 0.3, seed=0)["prompt"])
    assert sorted(counts[f"old{n}"] for n in range(5)) == [2, 2, 2, 3, 3]


def test_the_same_seed_gives_the_same_mix_and_another_one_another():
    one, same, other = (mix(TASK, REPLAY, 0.1, seed=seed)["prompt"][:] for seed in (1, 1, 2))
    assert one == same and one != other


def test_replayed_rows_do_not_all_come_last():
    places = [
        place for place, prompt in enumerate(mix(TASK, REPLAY, 0.1, seed=1)["prompt"]) if prompt.startswith("old")
    ]
    assert min(places) < 40


def test_rows_of_another_layout_are_refused_and_not_mixed_in_as_nothing():
    chat = datasets.Dataset.from_list([{"messages": CHAT}])
    with pytest.raises(InvalidRequest, match=r"no column 'prompt'.*like=task"):
        mix(TASK, chat, 0.1, seed=0)
    with pytest.raises(InvalidRequest, match="no column 'messages'"):
        mix(chat, REPLAY, 1.0, seed=0)


def test_turns_with_other_keys_get_the_tasks_types():
    task = datasets.Dataset.from_list([{"messages": [{**turn, "name": "n"} for turn in CHAT], "source": 1}] * 4)
    replay = datasets.Dataset.from_list([{"messages": CHAT}])
    with pytest.raises(ValueError, match="can't be aligned"):
        datasets.concatenate_datasets([task, replay])
    mixed = mix(task, replay, 0.25, seed=0)
    assert mixed.features == task.features
    assert [{**turn, "name": None} for turn in CHAT] in mixed["messages"][:]


def test_a_set_of_the_client_follows_the_tasks_layout():
    mixed = mix(TASK, conversations(), 0.05, seed=0)
    replayed = [row for row in mixed if not row["prompt"].startswith("q")]
    assert len(replayed) == 2 and {row["completion"] for row in replayed} == {"4"}


def test_rows_that_are_not_counted_are_refused():
    with pytest.raises(InvalidRequest, match="IterableDataset"):
        mix(TASK.to_iterable_dataset(), REPLAY, 0.1, seed=0)


def test_nothing_to_replay_is_said():
    with pytest.raises(InvalidRequest, match="empty"):
        mix(TASK, REPLAY.select([]), 0.1, seed=0)


def test_tokenised_rows_are_mixed_with_tokenised_rows():
    task = datasets.Dataset.from_dict({"input_ids": [[1, 2]], "labels": [[1, 2]], "extra": [0]})
    replay = datasets.Dataset.from_dict({"input_ids": [[3]], "labels": [[3]]})
    assert sorted(mix(task, replay, 1.0, seed=0)["input_ids"]) == [[1, 2], [3]]
    with pytest.raises(InvalidRequest, match="'labels'"):
        mix(task, replay.remove_columns("labels"), 1.0, seed=0)

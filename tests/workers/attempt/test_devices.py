"""Several devices train the model that one trains, and an attempt on them ends as one on a single device does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.workers.attempt.trained_together import train
from tests.workers.attempt.training.test_fine_tune import FULL, LORA
from workers.attempt.launch import launch
from workers.attempt.training.ranks import FILLER, Ranks

TWELVE = {"steps": 12, "batch_size": 4}  # an epoch's third update has three examples
RECIPES: dict[str, dict[str, Any]] = {
    "one step": FULL | {"steps": 1, "batch_size": 4},
    "one step of adapters": LORA | {"steps": 1, "batch_size": 4},
    "an odd batch": FULL | {"steps": 5, "batch_size": 3},
    "in parts": FULL | TWELVE | {"per_device_train_batch_size": 1},
    "packed": FULL | {"steps": 3, "batch_size": 2, "packing": True},
    "twelve steps": FULL | TWELVE,
}


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    (folder / "orders.json").write_text(json.dumps(RECIPES))
    assert launch(2, folder, "tests.workers.attempt.trained_together") == 0
    return folder


def far(left: Path, right: Path, name: str) -> float:
    """The largest relative difference of a matrix of weights, in its norm."""
    ours, theirs = (load_file(folder / f"{name}.safetensors") for folder in (left, right))
    assert ours.keys() == theirs.keys()
    return max(float((ours[key] - theirs[key]).norm() / theirs[key].norm().clamp_min(1e-30)) for key in ours)


def alone(folder: Path, name: str, split: int = 1) -> Path:
    folder.mkdir()
    train(folder, name, RECIPES[name], split=split)
    return folder


@pytest.mark.parametrize("name", ["one step", "one step of adapters"])
def test_one_step_on_two_devices_is_that_of_one(together: Path, tmp_path: Path, name: str) -> None:
    one = alone(tmp_path / "one", name)
    assert far(together, one, name) < 1e-6
    ours, theirs = (json.loads((folder / f"{name}.json").read_text()) for folder in (together, one))
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("name", ["twelve steps", "in parts"])
def test_twelve_steps_differ_no_more_than_another_split_of_the_batch(together: Path, tmp_path: Path, name: str) -> None:
    one = alone(tmp_path / "one", "twelve steps")
    another_split = far(alone(tmp_path / "split", "twelve steps", 4), one, "twelve steps")
    (tmp_path / "one" / f"{name}.safetensors").write_bytes((one / "twelve steps.safetensors").read_bytes())
    assert 0 < far(together, one, name) <= 2 * another_split


@pytest.mark.parametrize("name", ["an odd batch", "packed"])
def test_batches_that_do_not_divide_are_learned_from_alike(together: Path, tmp_path: Path, name: str) -> None:
    assert far(together, alone(tmp_path / "one", name), name) < 1e-5


def test_every_example_of_an_update_is_dealt_out_once() -> None:
    ranks = Ranks(0, 2)
    assert ranks.share(list("abcdefg"), 2, 2) == ["a", "c", "b", "d", "e", "g", "f", FILLER]
    assert ranks.share(["a"], 2, 1) == ["a", FILLER, FILLER, FILLER]

"""What comes with the project fits together: sets, rows, the data and the model that they were measured with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bundled.model import check_weights, model_folder
from bundled.sets import ANSWERS, GREEDY, SETS, UpstreamSet
from forgetcast.errors import ModelUnreadable
from forgetcast.schemas import MatrixCreate

TASKS = {task["id"]: task for task in json.loads((ANSWERS.folder / "tasks.json").read_text(encoding="utf-8"))}

every_set = pytest.mark.parametrize("upstream", SETS, ids=lambda upstream: upstream.folder.name)


def runs(upstream: UpstreamSet) -> list[str]:
    return sorted(path.stem for path in upstream.rows.glob("*.npy") if not path.stem.endswith(".exact"))


@every_set
def test_the_matrix_is_one_that_a_service_takes(upstream):
    matrix = MatrixCreate.model_validate(upstream.matrix)
    assert matrix.recipe == MatrixCreate.model_validate(ANSWERS.matrix).recipe
    examples = [json.loads(line) for line in upstream.lines]
    assert len({example["id"] for example in examples}) == len(examples)
    assert {example["held_out"] for example in examples} == {True, False}


@every_set
def test_every_row_is_a_bundled_tasks_and_whole(upstream):
    n_examples = len(upstream.lines)
    assert np.isfinite(upstream.before()).all()
    assert upstream.before().shape == (n_examples,)
    for run in runs(upstream):
        task, _, seed = run.partition(".seed-")
        assert task in TASKS
        assert seed == "1" or (seed == "2" and TASKS[task]["repeat"])
        assert upstream.row(run).shape == (n_examples,)
        assert np.isfinite(upstream.row(run)).all()


@every_set
def test_every_row_says_what_it_was_measured_with(upstream):
    for run in runs(upstream):
        said = json.loads((upstream.rows / f"{run}.json").read_text(encoding="utf-8"))
        assert said["seed"] == int(run.rpartition("-")[2])
        assert said["dataset_sha256"] == TASKS[run.partition(".seed-")[0]]["sha256"]
        assert said["upstream_sha256"] == upstream.sha256
        assert (said["recipe"], said["setting"]) == (upstream.matrix["recipe"], upstream.matrix["setting"])


def test_the_base_model_reproduces_its_own_greedy_answers_and_few_of_those_that_were_sampled():
    assert GREEDY.before_exact().all()
    assert ANSWERS.before_exact().mean() < 0.05


def test_other_weights_than_those_of_the_rows_are_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ModelUnreadable, match="not measured with them"):
        check_weights(tmp_path)


@pytest.mark.skipif(not (model_folder() / "model.safetensors").exists(), reason="the bundled model is not converted")
def test_the_converted_model_is_the_one_of_the_rows():
    check_weights(model_folder())

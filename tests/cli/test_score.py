"""`forgetcast score`: a model on this machine, measured and posted as a candidate."""

from __future__ import annotations

import hashlib
import json

import pytest

from service.models import folder_sha256
from tests.cli.world import FORECAST, MATRIX
from tests.client.answers import a_task, ok, page
from tests.workers.language_models import CHAT_TEMPLATE, character_tokenizer, tiny_llama

TEXTS = [
    {"id": f"e{k}", "text": f"Example number {k}.", "domain": "poems", "tags": [], "held_out": False} for k in range(3)
]
PROBES = {
    "matrix": "m",
    "matrix_version": 4,
    "design": "mixed",
    "seed": 0,
    "domains": [],
    "expected_error": 0.1,
    "data": [
        {"place": k + 1, "example_id": f"e{k}", "domain": "poems", "at_random": k == 1, "expected_error": 0.1}
        for k in (2, 1)
    ],
}


def saved(folder, seed):
    tiny_llama(seed).save_pretrained(folder)
    character_tokenizer(CHAT_TEMPLATE).save_pretrained(folder)
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch, service):
    base, tuned = saved(tmp_path / "base", 0), saved(tmp_path / "tuned", 5)
    (tmp_path / "models.toml").write_text(f'[models.tiny]\nfolder = "{base}"\n')
    monkeypatch.setenv("FORGETCAST_MODELS", str(tmp_path / "models.toml"))
    service.answers |= {
        ("GET", "/v1/tasks/t"): ok(a_task()),
        ("GET", "/v1/matrices/m"): ok({**MATRIX, "model_revision": folder_sha256(base), "setting": {"scored": "all"}}),
        ("GET", "/v1/matrices/m/probe-set"): ok(PROBES),
        ("GET", "/v1/upstream-sets/s/examples"): page(TEXTS),
        ("POST", "/v1/tasks/t/measurements"): ok(FORECAST),
    }
    return tuned


def posted(service):
    return service.sent("POST", "/v1/tasks/t/measurements")


def test_the_probes_are_measured_and_posted_as_a_candidate(run, service, models):
    result = run("score", "t", "--weights", models)
    assert result.exit_code == 0, result.stderr
    sent = posted(service)
    assert sent["weights_sha256"] == hashlib.sha256((models / "model.safetensors").read_bytes()).hexdigest()
    assert sent["source"] == "tuned"
    assert {cell["example_id"]: cell["at_random"] for cell in sent["cells"]} == {"e2": False, "e1": True}
    assert all(cell["after"] != cell["before"] for cell in sent["cells"])
    assert "t: 2 examples of weights" in result.stdout
    assert "forgetcast gate t --policy" in result.stderr


def test_listed_examples_do_not_count_as_random_and_all_of_them_do(run, service, models, tmp_path):
    (tmp_path / "ids.txt").write_text("e0\n\n")
    assert run("score", "t", "--weights", models, "--examples", tmp_path / "ids.txt", "-q").exit_code == 0
    assert [(cell["example_id"], cell["at_random"]) for cell in posted(service)["cells"]] == [("e0", False)]
    service.requests.clear()
    assert run("score", "t", "--weights", models, "--full", "-q").exit_code == 0
    assert len(posted(service)["cells"]) == 3


def test_quiet_prints_the_digest_alone(run, models):
    result = run("score", "t", "--weights", models, "-q")
    digest = hashlib.sha256((models / "model.safetensors").read_bytes()).hexdigest()
    assert (result.stdout, result.stderr) == (f"{digest}\n", "")


def test_another_base_model_than_the_matrix_has_is_refused(run, service, models):
    result = run("score", "t", "--weights", models, "--base", models)
    assert result.exit_code == 1
    assert "was made with" in result.stderr
    assert service.asked("POST", "/v1/tasks/t/measurements") == []


def test_texts_that_stay_here_come_from_a_file(run, service, models, tmp_path):
    bare = [{key: value for key, value in one.items() if key != "text"} for one in TEXTS]
    service.answers["GET", "/v1/upstream-sets/s/examples"] = page(bare)
    refused = run("score", "t", "--weights", models)
    assert (refused.exit_code, "--texts" in refused.stderr) == (1, True)
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in TEXTS))
    assert run("score", "t", "--weights", models, "--texts", tmp_path / "texts.jsonl", "-q").exit_code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--full", "--examples", "ids.txt"], "give one of them"),
        (["--base", "nobody"], "is no folder"),
        (["--examples", "unknown.txt"], "no example 'nobody'"),
        (["--examples", "empty.txt"], "is empty"),
    ],
)
def test_wrong_input_is_named_and_nothing_is_posted(run, service, models, tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    for name, text in (("ids.txt", "e0\n"), ("unknown.txt", "nobody\n"), ("empty.txt", "\n")):
        (tmp_path / name).write_text(text)
    result = run("score", "t", "--weights", models, *options)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert service.asked("POST", "/v1/tasks/t/measurements") == []


def test_weights_that_are_none_are_named(run, models, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("score", "t", "--weights", tmp_path / "empty")
    assert result.exit_code == 1
    assert "no *.safetensors weights" in result.stderr
    assert run("score", "t", "--weights", tmp_path / "nowhere").exit_code == 2

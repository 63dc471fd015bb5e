"""No command prints a control character of a user's text, whatever the flag; in JSON it stands escaped."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

import forgetcast.cli
from forgetcast.completion import ForgettingMatrix
from tests.cli.world import EXAMPLES, FORECAST, FORGOTTEN, MATRIX, REPLAY_SET
from tests.client.answers import CREATED, a_job, a_task, an_event, ok, page

EVIL = "a\x1b]0;owned\x07\x1b[31m\x9b2J\x7f\r\u202eb\u2028c"
PRINTED = [  # what is printed through this module alone
    path
    for path in sorted(Path(forgetcast.cli.__file__).parent.glob("*.py"))
    if path.name not in ("output.py", "completion.py")
]


def replaced(value: Any, names: set[str]) -> Any:
    """The same answer, in which these texts hold what a terminal would obey."""
    if isinstance(value, dict):
        return {
            name: EVIL if name in names and isinstance(inner, str) else replaced(inner, names)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [EVIL if "warnings" in names and isinstance(one, str) else replaced(one, names) for one in value]
    return value


TEXTS = {"domain", "family", "message", "example_id", "text", "content", "name", "worker", "detail", "phase", "host"}
TEXTS |= {"gpu", "hint", "said", "source", "hardware", "warnings", "model", "method"}


@pytest.fixture
def evil(service: Any) -> Any:
    """A service all of whose texts are evil, for a newer one may have texts that this client knows nothing of."""
    key = {
        "id": "4f7x2k9q",
        "name": EVIL,
        "scopes": ["read"],
        "created_at": CREATED,
        "expires_at": None,
        "revoked_at": None,
    }
    failed = a_job("failed", terminal=True, error={"code": "internal", "detail": EVIL, "hint": EVIL, "last_code": None})
    service.answers |= {
        ("GET", "/v1/matrices"): page([replaced(MATRIX, TEXTS)]),
        ("GET", "/v1/matrices/m"): ok(replaced(MATRIX, TEXTS)),
        ("GET", "/v1/upstream-sets/s/examples"): page(replaced(EXAMPLES, {"domain", "text", "content"})),
        ("GET", "/v1/tasks"): page([replaced(a_task(family="x"), TEXTS)]),
        ("GET", "/v1/tasks/t"): ok(replaced(a_task(family="x"), TEXTS)),
        ("GET", "/v1/tasks/t/forecast"): ok(replaced(FORECAST, TEXTS - {"method"})),
        ("GET", "/v1/tasks/t/forgotten"): ok(replaced(FORGOTTEN, {"domain"})),
        ("GET", "/v1/tasks/t/replay-set"): ok(replaced(REPLAY_SET, {"domain", "text", "warnings"})),
        ("GET", "/v1/jobs/job_1"): ok(failed),
        ("GET", "/v1/api-keys"): page([key]),
        ("GET", "/v1/caller"): ok({"key": key, "scopes": ["read"]}),
        ("GET", "/v1/workers"): page([]),
        ("GET", "/v1/tasks/evil"): httpx2.Response(404, json={**PROBLEM, "detail": EVIL}),
    }
    service.events = [an_event(1, EVIL), an_event(2, phase=EVIL, step=3, total=12, loss=2.5, eta_s=9.0)]
    return service


PROBLEM = {
    "type": "/problems/task_not_found",
    "code": "task_not_found",
    "title": EVIL,
    "status": 404,
    "detail": EVIL,
    "instance": EVIL,
    "request_id": "x",
    "retryable": False,
    "errors": [{"pointer": EVIL, "detail": EVIL}],
}
COMMANDS = [
    ["matrix", "ls"],
    ["matrix", "show", "m"],
    ["task", "ls"],
    ["task", "get", "t"],
    ["task", "wait", "t"],
    ["task", "events", "t"],
    ["task", "get", "evil"],
    ["forgotten", "t"],
    ["replay", "t"],
    ["key", "ls", "--url", "http://127.0.0.1:8737"],
    ["doctor"],
    ["task", "get", EVIL],
    ["matrix", "import", f"no {EVIL}", "--spec", f"no {EVIL}"],
    [EVIL],
    ["task", "ls", f"--{EVIL}"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: repr(" ".join(command))[:40])
@pytest.mark.parametrize("flag", [None, "--json", "-q"])
def test_nothing_that_a_terminal_obeys_is_printed(run: Any, evil: Any, command: list[str], flag: str | None) -> None:
    flags = [] if flag is None or (flag == "-q" and command == ["doctor"]) else [flag]
    result = run(*command, *flags)
    assert result.output
    for where in (result.stdout, result.stderr):
        found = [char for char in where if char != "\n" and unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
        found += [char for char in where if char in "\u202a\u202b\u202d\u202e\u2066\u2067\u200f"]
        assert not found, where


def test_json_has_the_same_values_escaped(run: Any, evil: Any) -> None:
    shown = run("task", "get", "t", "--json").stdout
    assert json.loads(shown)["task"]["family"] == EVIL
    assert "\\u009b" in shown and "\\u202e" in shown
    drawn = [json.loads(line) for line in run("replay", "t").stdout.splitlines()]
    assert [one["text"] for one in drawn] == [EVIL, EVIL]


def test_a_matrix_file_is_somebodys_text_too(run: Any, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0.1, 0.1, (8, 30))
    clean = ForgettingMatrix.from_arrays(
        values, task_ids=[f"{EVIL}{row}" for row in range(8)], example_ids=[f"{EVIL}{place}" for place in range(30)]
    )
    clean.save(tmp_path / "rows.npz")
    for command in (["analyse"], ["backtest", "--probes", "5"]):
        shown = run(command[0], tmp_path / "rows.npz", *command[1:]).output
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", shown), shown


@pytest.mark.parametrize("path", PRINTED, ids=lambda path: path.name)
def test_commands_print_by_way_of_output_alone(path: Path) -> None:
    assert not re.search(r"click\.s?echo\(|(?<![\w.])print\(", path.read_text(encoding="utf-8")), path

"""A fine-tuning file is looked at before anything is sent: what it is read as, or the slip with its line and field."""

from __future__ import annotations

import json
import os
import threading

import pytest

GOOD = '{"text": "one"}\n{"text": "two"}\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_what_a_file_is_read_as_is_said_without_a_service(run, file):
    result = run("dataset", "check", file)
    assert (result.exit_code, result.stdout) == (0, f"{file}: read as text, 2 texts\n")
    assert run("dataset", "check", file, "-q").stdout == "text\n"
    assert json.loads(run("dataset", "check", file, "--json").stdout)["counts"] == {"text": 2}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD + "{text: 1}\n", "line 3: not JSON"),
        (GOOD + '{"prompt": "a"}\n', "line 3: the field 'completion' is missing"),
        ("\n", "is empty"),
        ('{"chosen": "a", "rejected": "b"}', "preference pair"),
    ],
)
def test_a_slip_is_named_with_file_and_line(run, service, file, content, said):
    file.write_text(content, encoding="utf-8")
    for command in (("dataset", "check"), ("forecast",)):
        result = run(*command, file)
        assert result.exit_code == 1
        assert f"{file}: " in result.stderr
        assert said in result.stderr
    assert service.requests == []


def test_a_missing_file_or_a_folder_is_a_usage_error_everywhere(run, service, tmp_path):
    for command in (("dataset", "check"), ("forecast",), ("upstream", "import"), ("measure", "t", "--from")):
        assert run(*command, tmp_path / "nothing.jsonl").exit_code == 2
        assert run(*command, tmp_path).exit_code == 2
    assert service.requests == []


def test_stdin_is_checked_and_sent(run, service):
    result = run("forecast", "-", "--no-wait", input=GOOD)
    assert result.exit_code == 0
    assert "stdin: read as text, 2 texts" in result.stderr
    (sent,) = [request for request in service.requests if request.method == "PUT"]
    assert sent.content == GOOD.encode()


def test_a_pipe_which_can_be_read_only_once_is_checked_and_sent(run, service, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert run("forecast", pipe, "--no-wait").exit_code == 0
    writer.join()
    (sent,) = [request for request in service.requests if request.method == "PUT"]
    assert sent.content == GOOD.encode()

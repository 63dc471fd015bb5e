"""The command line as a whole: help is cheap, errors are one line, exit codes mean something."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import subprocess
import sys
from importlib import metadata

import click
import httpx2
import numpy as np
import pytest

from forgetcast import errors
from forgetcast.cli import COMMANDS, main
from forgetcast.cli.failures import NEXT, failure_of
from tests.client.answers import problem

OWN_COMMANDS = [name for name, command in COMMANDS.items() if command.target.startswith("forgetcast.")]


def loaded_after(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after this code."""
    shown = f"import sys\n{code}\nprint('LOADED', *{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED ")[2].split())


def test_help_loads_neither_httpx2_nor_pydantic():
    loaded = loaded_after("from forgetcast.cli import main\nmain(['--help'], standalone_mode=False)")
    assert not loaded & {"httpx2", "pydantic", "rich", "numpy", "service"}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_a_command_loads_neither_httpx2_nor_pydantic(name):
    parts = getattr(main.get_command(click.Context(main), name), "commands", {})
    calls = [f"main({[name, *([part] if part else []), '--help']}, standalone_mode=False)" for part in (None, *parts)]
    loaded = loaded_after("\n".join(["from forgetcast.cli import main", *calls]))
    assert not loaded & {"httpx2", "pydantic", "rich", "numpy", "fastapi", "sqlalchemy"}


def test_the_collector_of_garbage_leaves_alone_what_a_command_imports():
    loaded_after(
        "import gc\nfrom forgetcast.cli.lazy_group import imported\nimported('ls', 'forgetcast.schemas:Job')\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 10_000"
    )


def test_a_reader_that_leaves_is_no_error(tmp_path):
    np.savez(tmp_path / "rows.npz", forgetting=np.random.default_rng(0).normal(size=(4, 40)))
    command = [sys.executable, "-m", "forgetcast.cli", "backtest", str(tmp_path / "rows.npz"), "--json"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*command, "--methods", "popularity", "--draws", "1"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert done.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [["completion", "bash"], ["task", "ls", "--help"], ["--help"], ["--version"]])
def test_a_full_disk_under_stdout_is_one_line(arguments):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "forgetcast.cli", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def test_a_full_disk_under_a_file_is_one_line(run, service, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # writing, unlike opening, names no file

    monkeypatch.setattr(json, "dumps", fail)
    result = run("task", "ls", "--json")
    assert (result.exit_code, result.stderr) == (1, "Error: No space left on device\n")


def test_forgetcast_itself_loads_nothing_but_the_standard_library():
    assert not loaded_after("import forgetcast") & {"httpx2", "pydantic", "numpy", "click", "rich"}


def test_the_completion_core_loads_numpy_alone():
    loaded = loaded_after("import forgetcast.completion")
    assert not loaded & {"httpx2", "pydantic", "click", "rich", "platformdirs"}


def test_the_client_is_there_when_it_is_named():
    loaded = loaded_after("import forgetcast\nforgetcast.ForgetcastClient, forgetcast.TaskHandle")
    assert "httpx2" in loaded


@pytest.mark.parametrize("name", OWN_COMMANDS)
def test_every_command_exists_and_shows_an_example(run, name):
    command = main.get_command(click.Context(main), name)
    parts = list(command.commands) if isinstance(command, click.Group) else [None]
    for part in parts:
        result = run(name, *([part] if part else []), "--help")
        assert result.exit_code == 0
        assert re.search(r"Examples?:\s+forgetcast ", result.stdout)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in OWN_COMMANDS])
def test_server_commands_are_where_they_are_said_to_be(name):
    module, _, attribute = COMMANDS[name].target.partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


@pytest.mark.parametrize("missing", ["service", "service.commands", "uvicorn"])
def test_a_server_command_without_its_parts_says_what_to_install(run, monkeypatch, missing):
    def fail(name):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(importlib, "import_module", fail)
    result = run("serve")
    assert result.exit_code == 1
    assert "pip install 'forgetcast[service]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_unknown_command_names_a_near_one(run):
    result = run("forcast", "x.jsonl")
    assert result.exit_code == 2
    assert "did you mean `forgetcast forecast`?" in result.stderr


def test_no_service_is_one_line_that_says_how_to_start_one(run, service):
    service.answers["GET", "/v1/tasks"] = httpx2.ConnectError("refused")
    result = run("task", "ls")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "forgetcast up" in result.stderr


@pytest.mark.parametrize(("code", "status"), [("unauthenticated", 401), ("forbidden", 403)])
def test_a_missing_key_has_its_own_exit_code(run, service, code, status):
    service.answers["GET", "/v1/tasks"] = problem(code, status)
    result = run("task", "ls")
    assert result.exit_code == 4
    assert "forgetcast key create" in result.stderr


def test_a_bad_option_is_a_usage_error(run):
    assert run("forgotten", "t", "--k", "0").exit_code == 2


def test_an_unknown_task_names_the_command_that_lists_them(run, service):
    result = run("task", "get", "unknown")
    assert result.exit_code == 1
    assert "forgetcast task ls" in result.stderr


def test_what_an_error_names_to_try_next_is_a_command():
    named = [words for said in NEXT.values() for words in re.findall(r"`forgetcast ([^`]+)`", said)]
    assert len(named) > 15
    for words in named:
        context = click.Context(main)
        path = words.split()
        command = main.get_command(context, path[0])
        assert command is not None, words
        assert not isinstance(command, click.Group) or command.get_command(context, path[1]), words


def test_the_version_is_said():
    done = subprocess.run([sys.executable, "-m", "forgetcast.cli", "--version"], capture_output=True, text=True)
    assert done.stdout == f"forgetcast {metadata.version('forgetcast')}\n"


def test_what_to_do_follows_the_message_in_one_sentence():
    assert failure_of(errors.Unauthenticated("A key is needed.")).message.startswith("A key is needed; store a key")


def test_an_error_of_its_own_words_goes_before_those_of_its_family():
    assert failure_of(errors.FitPending("Not fitted.")).message.startswith(
        "Not fitted; try again in some seconds; a worker"
    )
    assert failure_of(errors.Busy("Busy.")).message == "Busy; try again in some seconds"
    assert failure_of(errors.SchemaMismatch("The schema is older.")).message == "The schema is older."


def test_a_code_that_only_a_newer_service_has_ends_as_its_family_does(run, service):
    service.answers["GET", "/v1/tasks"] = problem("key_of_another_tenant", 403, "this key is another tenant's")
    result = run("task", "ls")
    assert (result.exit_code, result.stderr) == (4, "Error: this key is another tenant's\n")


def test_what_is_wrong_in_a_request_is_named_by_its_field():
    error = errors.InvalidRequest("two fields are wrong", errors=(errors.FieldError("/seed", "must be positive"),))
    assert failure_of(error).message == "two fields are wrong (/seed: must be positive)"


def test_a_field_that_the_message_names_already_is_not_repeated():
    error = errors.InvalidRequest("line 3: no text", errors=(errors.FieldError("/2", "no text"),))
    assert failure_of(error).message == "line 3: no text"


def test_an_error_of_many_lines_is_one_line_without_control_characters():
    assert failure_of(errors.Internal("first\nsecond\x1b[31m")).message.startswith("first second?[31m;")

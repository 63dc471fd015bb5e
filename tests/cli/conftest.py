"""The command line against a service that is a table of answers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import click.testing
import httpx2
import pytest

import forgetcast.client
from forgetcast.cli import main
from tests.cli.world import Service

Run = Callable[..., click.testing.Result]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """What every command of this test speaks to."""
    monkeypatch.delenv("FORGETCAST_URL", raising=False)
    monkeypatch.delenv("FORGETCAST_API_KEY", raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    service = Service()
    with_answers = functools.partial(forgetcast.client.ForgetcastClient, transport=httpx2.MockTransport(service))
    monkeypatch.setattr(forgetcast.client, "ForgetcastClient", with_answers)
    return service


@pytest.fixture
def run() -> Run:
    """`run("task", "ls")`: exit code, stdout and stderr; an exception that would be a traceback fails the test."""

    def call(*arguments: object, input: str | bytes | None = None) -> click.testing.Result:
        result = click.testing.CliRunner().invoke(main, [str(argument) for argument in arguments], input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture(autouse=True)
def config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder: nobody is logged in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "forgetcast"

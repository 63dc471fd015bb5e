"""`forgetcast login`, `logout`: a key is stored once the service took it, and is shown to no other."""

from __future__ import annotations

import json
import stat

import click.testing
import pytest

from forgetcast.cli import main
from tests.client.answers import problem

URL = "https://forgetcast.example"
KEY = "fck_12345678_abc"


def log_in(*options: str, key: str = f"{KEY}\n") -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["login", *options], input=key)


def test_a_key_that_the_service_takes_is_stored_for_its_owner_alone(service, config_folder):
    result = log_in("--url", URL)
    assert (result.exit_code, KEY in result.output) == (0, False)
    file = config_folder / "login.json"
    assert json.loads(file.read_text()) == {"url": URL, "api_key": KEY}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert service.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_commands_take_what_is_stored(run, service):
    log_in("--url", URL)
    run("task", "ls")
    sent = service.requests[-1]
    assert (sent.url.host, sent.headers["Authorization"]) == ("forgetcast.example", f"Bearer {KEY}")
    run("task", "ls", "--url", "https://elsewhere.example")
    assert "Authorization" not in service.requests[-1].headers


def test_a_key_that_the_service_refuses_is_not_stored(service, config_folder):
    service.answers["GET", "/v1/caller"] = problem("unauthenticated", 401)
    result = log_in("--url", URL)
    assert result.exit_code == 4
    assert "nothing was stored: check the key" in result.stderr and "forgetcast login" not in result.stderr
    assert not config_folder.exists()


def test_a_service_that_needs_a_key_is_not_stored_without_one(service, config_folder):
    service.answers["GET", "/v1/caller"] = problem("unauthenticated", 401)
    result = log_in("--url", URL, key="\n")
    assert result.exit_code == 4
    assert "give the key when it is asked for" in result.stderr
    assert not config_folder.exists()


def test_a_key_without_the_scope_to_read_is_a_key(service, config_folder):
    service.answers["GET", "/v1/caller"] = problem("forbidden", 403)
    assert log_in("--url", URL).exit_code == 0


def test_without_a_key_only_the_url_is_stored_and_an_older_key_is_gone(service, config_folder):
    log_in("--url", URL)
    assert log_in("--url", URL, key="\n").exit_code == 0
    assert "Authorization" not in service.requests[-1].headers
    assert json.loads((config_folder / "login.json").read_text()) == {"url": URL, "api_key": None}


def test_what_goes_before_the_stored_key_is_said(service, monkeypatch):
    monkeypatch.setenv("FORGETCAST_API_KEY", "fck_12345678_other")
    result = log_in("--url", URL)
    assert "FORGETCAST_API_KEY is set" in result.stderr
    assert service.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_logging_out_deletes_the_file(run, service, config_folder):
    log_in("--url", URL)
    assert run("logout").stdout == f"deleted {config_folder / 'login.json'}\n"
    assert run("logout").stdout == "nobody is logged in\n"


@pytest.mark.parametrize("content", ["", "{}"])
def test_a_broken_file_says_how_to_mend_it_and_can_be_deleted(run, service, config_folder, content):
    log_in("--url", URL)
    (config_folder / "login.json").write_text(content)
    assert "forgetcast login" in run("task", "ls").stderr
    assert run("logout").exit_code == 0

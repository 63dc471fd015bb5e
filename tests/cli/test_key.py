"""`forgetcast key --url`: API keys of a service; tests/test_commands.py has those of the database."""

from __future__ import annotations

import json

import pytest

from tests.client.answers import CREATED, ok, page, problem

URL = "http://127.0.0.1:8737"
KEY = {"id": "4f7x2k9q", "name": "ci", "scopes": ["read", "submit"], "created_at": CREATED}
LIVE = {**KEY, "expires_at": None, "revoked_at": None}
MADE = {**LIVE, "key": "fck_4f7x2k9q_secret"}


def test_a_key_is_made_and_shown_once(run, service):
    service.answers["POST", "/v1/api-keys"] = ok(MADE, 201)
    result = run("key", "create", "--name", "ci", "--scope", "read", "--scope", "submit", "--days", 90, "--url", URL)
    assert result.stdout == "fck_4f7x2k9q_secret\n"
    assert "not shown again" in result.stderr
    sent = service.sent("POST", "/v1/api-keys")
    assert sent == {"name": "ci", "scopes": ["read", "submit"], "expires_in": 90 * 24 * 3600}


def test_a_key_whose_answer_was_lost_is_not_taken_for_one(run, service):
    service.answers["POST", "/v1/api-keys"] = ok({**LIVE, "key": None}, 201)
    result = run("key", "create", "--name", "ci", "--scope", "read", "--url", URL)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "4f7x2k9q was made" in result.stderr and "revoke it" in result.stderr


def test_keys_are_listed(run, service):
    ended = {**LIVE, "id": "aaaaaaaa", "revoked_at": CREATED}
    service.answers["GET", "/v1/api-keys"] = page([{**LIVE, "expires_at": CREATED}, ended])
    lines = [" ".join(line.split()) for line in run("key", "ls", "--url", URL).stdout.splitlines()]
    assert lines[1:] == [
        "4f7x2k9q read, submit 2026-11-23 ci until 2026-11-23 12:00 UTC",
        "aaaaaaaa read, submit 2026-11-23 ci revoked 2026-11-23",
    ]
    assert run("key", "ls", "-q", "--url", URL).stdout == "4f7x2k9q\naaaaaaaa\n"
    assert [one["id"] for one in json.loads(run("key", "ls", "--json", "--url", URL).stdout)] == [
        "4f7x2k9q",
        "aaaaaaaa",
    ]


def test_a_key_is_rotated_and_revoked(run, service):
    service.answers |= {
        ("POST", "/v1/api-keys/4f7x2k9q/rotate"): ok(MADE, 201),
        ("DELETE", "/v1/api-keys/4f7x2k9q"): ok(LIVE),
    }
    assert run("key", "rotate", "4f7x2k9q", "--overlap", 2, "-q", "--url", URL).output == "fck_4f7x2k9q_secret\n"
    assert service.sent("POST", "/v1/api-keys/4f7x2k9q/rotate") == {"overlap": 7200}
    assert run("key", "revoke", "4f7x2k9q", "--url", URL).stdout == "4f7x2k9q is revoked\n"


@pytest.mark.parametrize(("code", "status", "exit_code"), [("forbidden", 403, 4), ("api_key_not_found", 404, 1)])
def test_what_is_refused_is_one_line(run, service, code, status, exit_code):
    service.answers["DELETE", "/v1/api-keys/x"] = problem(code, status)
    result = run("key", "revoke", "x", "--url", URL)
    assert result.exit_code == exit_code
    assert len(result.stderr.splitlines()) == 1

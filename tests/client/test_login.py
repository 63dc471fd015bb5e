"""What `forgetcast login` stored: who may read it, and which service may see the key."""

from __future__ import annotations

import stat

import pytest

from forgetcast import ForgetcastClient, errors
from forgetcast.client.login import Login, forget_login, read_login, save_login

LOGIN = Login("https://forgetcast.example", "fck_12345678_stored")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("FORGETCAST_URL", raising=False)
    monkeypatch.delenv("FORGETCAST_API_KEY", raising=False)


def key_of(client: ForgetcastClient) -> str | None:
    return client._connection.http.headers.get("Authorization")


def test_the_file_is_for_its_owner_alone_also_when_it_is_replaced(config_folder):
    for login in (Login("http://other", None), LOGIN):
        path = save_login(login)
        assert path == config_folder / "login.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_login() == LOGIN
    assert [one.name for one in config_folder.iterdir()] == ["login.json"]


def test_a_client_takes_what_was_stored():
    save_login(LOGIN)
    client = ForgetcastClient()
    assert (client.url, key_of(client)) == (LOGIN.url, f"Bearer {LOGIN.api_key}")


def test_the_environment_wins(monkeypatch):
    save_login(LOGIN)
    monkeypatch.setenv("FORGETCAST_API_KEY", "fck_12345678_mine")
    client = ForgetcastClient()
    assert (client.url, key_of(client)) == (LOGIN.url, "Bearer fck_12345678_mine")


def test_another_service_never_sees_the_stored_key(monkeypatch):
    save_login(LOGIN)
    assert key_of(ForgetcastClient(url="https://elsewhere.example")) is None
    monkeypatch.setenv("FORGETCAST_URL", "https://elsewhere.example")
    assert key_of(ForgetcastClient()) is None


def test_the_same_service_named_again_does():
    save_login(LOGIN)
    assert key_of(ForgetcastClient(url="https://forgetcast.example/")) == f"Bearer {LOGIN.api_key}"


def test_forgetting_it_deletes_the_file():
    assert not forget_login()
    save_login(LOGIN)
    assert forget_login()
    assert read_login() is None


@pytest.mark.parametrize("content", ["", "[]", '{"url": 1', '{"api_key": "x"}'])
def test_a_file_that_holds_no_login_is_said_to_hold_none(config_folder, content):
    save_login(LOGIN).write_text(content)
    with pytest.raises(errors.ConfigurationError, match=r"login\.json.*forgetcast login"):
        ForgetcastClient()

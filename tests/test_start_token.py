"""`forgetcast up` and `serve` without keys: who may read the state folder is let in, and finds out nothing of it."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx2
import pytest

from forgetcast.client import ForgetcastClient
from forgetcast.errors import Unauthenticated
from forgetcast.start_token import read_token, token_file
from service.storage.database import Database
from service.storage.schema import migrate
from tests.test_commands import run
from tests.test_end_to_end import forgetcast, free_port
from tests.workers.supervised import eventually


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder, with a migrated database; nobody is logged in."""
    database = Database(f"sqlite:///{tmp_path / 'forgetcast.db'}")
    migrate(database)
    database.close()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("FORGETCAST_API_KEY", raising=False)
    return tmp_path


def test_two_strangers_at_an_embedded_service_are_kept_out_and_its_owner_is_not(home: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with forgetcast(home, "serve", "--port", str(port)):
        file = token_file(home, port)
        eventually(file.exists)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        with ForgetcastClient(url=url) as owner:
            eventually(lambda: answers(url))
            assert owner.caller().key is None
        assert run(home, "task", "ls", "--url", url).returncode == 0
        assert run(home, "token", "--url", url).stdout.strip() == file.read_text()
        elsewhere = tmp_path / "elsewhere"
        refused = run(elsewhere, "task", "ls", "--url", url)
        assert refused.returncode == 4 and "start-up token" in refused.stderr
        assert run(elsewhere, "token", "--url", url).returncode == 1
        page = httpx2.post(f"{url}/v1/jobs/x/cancel", headers={"Origin": "https://evil.example"})
        assert page.status_code == 403
        rebound = httpx2.get(f"{url}/v1/api-keys", headers={"Host": "evil.example"})
        assert rebound.status_code == 403
    assert not file.exists()


def test_another_start_has_another_token_which_the_same_client_finds(home: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    seen = []
    with ForgetcastClient(url=url) as client:
        for _ in range(2):
            with forgetcast(home, "serve", "--port", str(port)):
                eventually(lambda: answers(url))
                client.caller()
                seen.append(read_token(port))
    assert None not in seen and seen[0] != seen[1]


def test_a_token_goes_to_its_own_port_and_to_no_other_host(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGETCAST_HOME", str(home))
    token_file(home, 8737).write_text("secret")
    shown: list[str | None] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        shown.append(request.headers.get("Authorization"))
        return httpx2.Response(401, json={})

    for url in ("http://127.0.0.1:8737", "http://127.0.0.1:8738", "http://elsewhere.example:8737"):
        with ForgetcastClient(url=url, transport=httpx2.MockTransport(note)) as client, pytest.raises(Exception):  # noqa: B017
            client.caller()
    assert shown == ["Bearer secret", None, None]


def test_with_keys_there_is_no_token(home: Path) -> None:
    assert run(home, "key", "create", "--name", "admin", "--scope", "admin").returncode == 0
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with forgetcast(home, "serve", "--port", str(port)):
        eventually(lambda: answers(url))
        assert not list(home.glob("token*"))
        with ForgetcastClient(url=url) as client, pytest.raises(Unauthenticated):
            client.caller()


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False

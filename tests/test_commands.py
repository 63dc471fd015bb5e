"""`forgetcast up` as a process: what it starts ends with it, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from tests.test_end_to_end import free_port


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_worker_ends_with_the_service_that_started_it(ending: signal.Signals, tmp_path: Path) -> None:
    environment = {"FORGETCAST_HOME": str(tmp_path), "FORGETCAST_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "forgetcast.cli", "up", "--port", str(free_port())]
    with (tmp_path / "log").open("wb") as log:
        up = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while not (workers := psutil.Process(up.pid).children()) or b"worker is ready" not in log_of(tmp_path):
            assert up.poll() is None and time.monotonic() < until, log_of(tmp_path).decode()
            time.sleep(0.2)
        up.send_signal(ending)
        up.wait(30)
        gone, alive = psutil.wait_procs(workers, timeout=15)
        assert gone and not alive
    finally:
        up.kill()


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run(tmp_path, "up", "--port", port)
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()[-1:]) == 1
    assert f"cannot bind 127.0.0.1:{port}" in ended.stderr


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_port_that_cannot_be_one_is_a_usage_error(tmp_path: Path, command: str) -> None:
    refused = run(tmp_path, command, "--port", "99999")
    assert refused.returncode == 2
    assert "99999 is not in the range 0<=x<=65535" in refused.stderr


def test_an_address_beyond_loopback_needs_a_key_first(tmp_path: Path) -> None:
    refused = run(tmp_path, "up", "--host", "0.0.0.0", "--port", str(free_port()))  # noqa: S104  # that is the point
    assert refused.returncode == 1
    assert "forgetcast key create" in refused.stderr


def test_serving_without_a_schema_says_what_to_run(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", "--port", str(free_port()))
    assert refused.returncode == 1
    assert "forgetcast migrate" in refused.stderr


@pytest.mark.parametrize("command", ["serve", "migrate", "worker"])
def test_a_setting_that_cannot_be_used_is_one_line_that_names_it(tmp_path: Path, command: str) -> None:
    refused = run(tmp_path, command, FORGETCAST_LEASE="soon")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: FORGETCAST_LEASE must be ") and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["up", "serve", "migrate", "worker", "key ls"])
def test_a_database_url_that_cannot_be_used_is_one_line_that_names_the_setting(tmp_path: Path, command: str) -> None:
    refused = run(tmp_path, *command.split(), FORGETCAST_DATABASE_URL="mysql://user:secret@host/forgetcast")
    assert refused.returncode == 1 and refused.stderr.startswith("Error: FORGETCAST_DATABASE_URL ")
    assert len(refused.stderr.splitlines()) == 1 and "secret" not in refused.stderr


@pytest.mark.parametrize(
    ("command", "setting"),
    [
        ("up", "FORGETCAST_REDIS_URL"),
        ("worker", "FORGETCAST_REDIS_URL"),
        ("serve", "FORGETCAST_FAILED_LOGINS"),
    ],
)
def test_a_redis_or_rate_that_cannot_be_read_ends_the_command_in_one_line(
    tmp_path: Path, command: str, setting: str
) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    refused = run(tmp_path, command, **{setting: "garbage"})
    assert refused.returncode == 1 and refused.stderr.startswith(f"Error: {setting} ")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["up", "migrate"])
def test_a_database_that_does_not_answer_is_one_line(tmp_path: Path, command: str) -> None:
    nowhere = f"postgresql+psycopg://127.0.0.1:{free_port()}/forgetcast"
    refused = run(tmp_path, command, FORGETCAST_DATABASE_URL=nowhere)
    assert refused.returncode == 1 and refused.stderr.startswith("Error: the database does not answer: ")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["up", "migrate"])
def test_a_database_that_is_not_there_is_one_line_that_says_what_makes_it(
    tmp_path: Path, postgres_url: str, command: str
) -> None:
    absent = sa.make_url(postgres_url).set(database="forgetcast_absent").render_as_string(hide_password=False)
    refused = run(tmp_path, command, FORGETCAST_DATABASE_URL=absent)
    assert refused.returncode == 1 and "`createdb forgetcast_absent`" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def log_of(folder: Path) -> bytes:
    return (folder / "log").read_bytes()


def run(home: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    folders = {"FORGETCAST_HOME": str(home), "FORGETCAST_CACHE_DIR": str(home)}
    environment = {"PATH": "/usr/bin:/bin", **folders, **settings}
    command = [sys.executable, "-m", "forgetcast.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_keys_are_made_listed_rotated_and_revoked_on_the_command_line(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    made = run(tmp_path, "key", "create", "--name", "ci", "--scope", "read", "--days", "9").stdout.strip()
    key_id = made.split("_")[1]
    successor = run(tmp_path, "key", "rotate", key_id, "--overlap", "1").stdout.strip()
    assert run(tmp_path, "key", "revoke", successor.split("_")[1]).returncode == 0
    listed = run(tmp_path, "key", "ls").stdout
    assert len(listed.splitlines()) == 3 and "until" in listed and "revoked" in listed
    assert made.split("_")[2] not in listed
    absent = run(tmp_path, "key", "revoke", "nobody")
    assert absent.returncode == 1 and "no API key has the id 'nobody'" in absent.stderr

"""A client whose service is a list of answers, and a clock that does not wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from forgetcast import ForgetcastClient
from tests.client.answers import Answers


@pytest.fixture
def service() -> Answers:
    return Answers()


@pytest.fixture
def client(service: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForgetcastClient]:
    monkeypatch.delenv("FORGETCAST_URL", raising=False)
    monkeypatch.delenv("FORGETCAST_API_KEY", raising=False)
    with ForgetcastClient(timeout=timedelta(seconds=30), transport=httpx2.MockTransport(service)) as client:
        yield client


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every pause that was asked for; it passes at once, and the clock knows."""
    slept: list[float] = []
    real = time.monotonic
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: real() + sum(slept))
    return slept


@pytest.fixture(autouse=True)
def config_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder: nobody is logged in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "forgetcast"

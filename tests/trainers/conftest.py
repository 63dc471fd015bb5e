"""`datasets` without progress bars, its caches in a folder of the test."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

import forgetcast.trainers.offline  # noqa: F401  # first imported beside `service`, it would keep the client of that test
from tests.cli.conftest import config_folder, run, service  # noqa: F401

datasets.disable_progress_bars()


@pytest.fixture(autouse=True)
def hf_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))

"""What may be loaded by what, seen in fresh interpreters; import-linter holds the rest."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pydantic", "httpx2", "click", "fastapi", "sqlalchemy", "redis", "torch", "transformers", "peft"}


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("forgetcast", set()),
        ("forgetcast.completion", set()),
        ("forgetcast.schemas", {"pydantic"}),
        ("service.app", {"pydantic", "fastapi", "sqlalchemy", "redis", "click"}),
        ("workers.host.supervisor", {"pydantic", "sqlalchemy", "redis"}),
    ],
)
def test_importing_loads_no_more_than_it_needs(module: str, allowed: set[str]) -> None:
    assert HEAVY & _loaded_by(f"import {module}") <= allowed


def test_a_matrix_needs_numpy_alone() -> None:
    code = "from forgetcast import ForgettingMatrix; ForgettingMatrix.from_arrays([[0.1, 0.2]])"
    loaded = _loaded_by(code)
    assert not (HEAVY | {"pandas"}) & loaded
    assert "numpy" in loaded and "numpy" not in _loaded_by("import forgetcast")


def _loaded_by(code: str) -> set[str]:
    command = [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())

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
        ("workers.supervisor", {"pydantic", "sqlalchemy", "redis"}),
    ],
)
def test_importing_loads_no_more_than_it_needs(module: str, allowed: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) <= allowed

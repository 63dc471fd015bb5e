"""Forgetcast: forecasts which upstream examples a language model forgets when it is fine-tuned on a new task.

    from forgetcast import Completer, ForgetcastClient, ForgettingMatrix, errors

Each is loaded when it is first named: the client needs httpx2 and pydantic, completer and matrix numpy alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from forgetcast import errors
from forgetcast.errors import ForgetcastError

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle
    from forgetcast.completion import CompletedMatrix, CompletedRow, Completer, ForgettingMatrix

__all__ = [
    "CompletedMatrix",
    "CompletedRow",
    "Completer",
    "ForgetcastClient",
    "ForgetcastError",
    "ForgettingMatrix",
    "TaskHandle",
    "errors",
]

_LAZY = {
    "ForgetcastClient": "forgetcast.client",
    "TaskHandle": "forgetcast.client",
    "CompletedMatrix": "forgetcast.completion",
    "CompletedRow": "forgetcast.completion",
    "Completer": "forgetcast.completion",
    "ForgettingMatrix": "forgetcast.completion",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

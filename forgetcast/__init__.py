"""Forgetcast: forecasts which upstream examples a language model forgets when it is fine-tuned on a new task.

    from forgetcast import ForgetcastClient, errors

The client is loaded when it is first named, so that `forgetcast.completion` needs numpy alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forgetcast import errors
from forgetcast.errors import ForgetcastError

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle

__all__ = ["ForgetcastClient", "ForgetcastError", "TaskHandle", "errors"]


def __getattr__(name: str) -> Any:
    if name in ("ForgetcastClient", "TaskHandle"):
        from forgetcast import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

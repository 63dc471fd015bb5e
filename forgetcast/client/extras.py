"""Packages that only some need: imported when asked for, and named with the extra that brings them."""

from __future__ import annotations

import importlib
from typing import Any

from forgetcast.errors import ConfigurationError


def extra(module: str, name: str) -> Any:
    """A module of the extra `name`. Raises ConfigurationError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        raise ConfigurationError(f"this needs {package}: pip install 'forgetcast[{name}]'") from error

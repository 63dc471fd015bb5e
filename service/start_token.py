"""Write the start-up token of a service without API keys, and remove it when the service ends."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forgetcast.errors import ConfigurationError
from forgetcast.start_token import token_file


def new_token() -> str:
    """Another one for every start, so that what an old one was told to is worth nothing."""
    return secrets.token_urlsafe(32)


@contextmanager
def kept_in(home: Path, port: int, token: str) -> Iterator[None]:
    """The token in a file that only its owner can read, while the service runs. Raises ConfigurationError."""
    path = token_file(home, port)
    try:
        _write(path, token)
    except OSError as error:
        said = f"{path} cannot be written: {error.strerror}; choose another FORGETCAST_HOME"
        raise ConfigurationError(said) from error
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_text(encoding="ascii") == token:  # not that of a service which has taken the port since
                path.unlink()


def _write(path: Path, token: str) -> None:
    """In one step, and never readable by others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token)
    scratch.replace(path)

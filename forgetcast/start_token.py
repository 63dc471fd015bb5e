"""The start-up token of a service without API keys: in its state folder, for those who may read that."""

from __future__ import annotations

from pathlib import Path

from forgetcast.folders import state_folder


def token_file(home: Path, port: int) -> Path:
    """Where the service at this port, whose state folder is `home`, keeps its token."""
    return home / f"token.{port}"


def read_token(port: int) -> str | None:
    """The token of the service at this port of this machine; None when it has none, or none that we may read."""
    try:
        return token_file(state_folder(), port).read_text(encoding="ascii").strip() or None
    except (OSError, ValueError):
        return None

"""The service and key that `forgetcast login` stored, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from forgetcast.errors import ConfigurationError
from forgetcast.folders import config_folder


@dataclass(frozen=True)
class Login:
    """A service, and the key for it where it needs one."""

    url: str
    api_key: str | None


def login_file() -> Path:
    return config_folder() / "login.json"


def read_login() -> Login | None:
    """None when nobody logged in. Raises ConfigurationError for a file that is no login."""
    path = login_file()
    try:
        stored = json.loads(path.read_bytes())
        return Login(str(stored["url"]), stored["api_key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} holds no login; run `forgetcast login` again, or delete it") from error


def save_login(login: Login) -> Path:
    """Write the file, in one step and never readable by others."""
    path = login_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(login), file)
    scratch.replace(path)
    return path


def forget_login() -> bool:
    """Delete the file; whether there was one."""
    existed = login_file().exists()
    login_file().unlink(missing_ok=True)
    return existed

"""forgetcast.toml: what commands take where no option says otherwise; found in this folder or in one above it.

    service = "http://127.0.0.1:8737"
    model = "my-model"
    upstream_set = "my-set"
    matrix = "my-matrix"

    [recipe]                  # of a matrix that is made here; fields as the API has them
    method = "full"
    learning_rate = 2e-5

Options go before it, and FORGETCAST_URL before its `service`. A key in the environment is never sent to a URL that a
file names, for a folder may come from anybody.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from forgetcast.errors import ConfigurationError

FILE = "forgetcast.toml"
TABLES = ("recipe", "setting")


@dataclass(frozen=True)
class Project:
    """What one forgetcast.toml says; None where it says nothing."""

    file: Path | None = None
    service: str | None = None
    model: str | None = None
    upstream_set: str | None = None
    matrix: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    setting: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its files lie: beside forgetcast.toml, else here."""
        return Path.cwd() if self.file is None else self.file.parent

    def written(self) -> str:
        """The text of the file."""
        names = [(name, getattr(self, name)) for name in ("service", "model", "upstream_set", "matrix")]
        lines = [f"{name} = {json.dumps(value)}" for name, value in names if value is not None]
        for table in TABLES:
            lines += _table(table, getattr(self, table))
        return "\n".join(lines) + "\n"


def read_project(start: Path | None = None) -> Project:
    """What applies in a folder, by default this one; an empty one where no forgetcast.toml is found.

    Raises
    ------
    ConfigurationError : naming file and entry
    """
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        file = folder / FILE
        if file.is_file():
            return parse_project(file)
    return Project()


def parse_project(file: Path) -> Project:
    """One file. Raises ConfigurationError naming file and entry."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is not TOML: {error}") from error
    known = [one.name for one in fields(Project) if one.name != "file"]
    for name, value in found.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise ConfigurationError(f"{file}: {name!r} is not known; {hint}")
        kind: type = dict if name in TABLES else str
        if not isinstance(value, kind) or not value:
            raise ConfigurationError(f"{file}: {name} must be {'a table' if kind is dict else 'a text'}")
    return Project(file=file, **found)


def project_url() -> str | None:
    """The service that forgetcast.toml names, where the environment names none."""
    return None if os.environ.get("FORGETCAST_URL") else read_project().service


def _table(name: str, entries: dict[str, Any]) -> list[str]:
    """A table, and the tables within it after its own entries."""
    if not entries:
        return []
    own = [f"{key} = {json.dumps(value)}" for key, value in entries.items() if not isinstance(value, dict)]
    within = [
        line for key, value in entries.items() if isinstance(value, dict) for line in _table(f"{name}.{key}", value)
    ]
    return ["", f"[{name}]", *own, *within]

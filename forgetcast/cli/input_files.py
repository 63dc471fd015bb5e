"""Files that a command reads: named, `-` for stdin, or a pipe such as `<(...)`, which can be read only once.

What is no plain file is copied into one, so that a command may look at it, send it and send it again.
"""

from __future__ import annotations

import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import click

NPZ = ".npz"
COPIED = "forgetcast-input-"  # how the copies are called


class InputFile(click.Path):
    """An argument or option that names a file to read; a Path of a plain file, which lives as long as the command."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True, allow_dash=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(str(super().convert(value, param, ctx)))
        if str(path) == "-":
            return _copied(sys.stdin.buffer, "stdin", ctx)
        if stat.S_ISREG(path.stat().st_mode):
            return path
        with path.open("rb") as pipe:
            return _copied(pipe, "the pipe" if path.name.isdigit() else path.name, ctx)


INPUT_FILE = InputFile()


def npz_file(matrix: str) -> Path | None:
    """The file that the argument MATRIX names; None where it is the id of a matrix in the service."""
    if not matrix.endswith(NPZ) and not Path(matrix).is_file():
        return None
    context = click.get_current_context()
    argument = next(found for found in context.command.params if found.name == "matrix")
    return INPUT_FILE.convert(matrix, argument, context)


def is_copied(path: Path) -> bool:
    """Whether it came from stdin or a pipe."""
    return path.parent.name.startswith(COPIED)


def shown_name(path: Path) -> str:
    """What the user called it."""
    return path.name if is_copied(path) else str(path)


def _copied(source: BinaryIO, name: str, ctx: click.Context | None) -> Path:
    folder = tempfile.TemporaryDirectory(prefix=COPIED)
    (ctx or click.get_current_context()).call_on_close(folder.cleanup)
    path = Path(folder.name) / name
    with path.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    return path

"""Files that hold wire shapes: a matrix's definition, an own run's recipe and setting, measured cells."""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from forgetcast import strict_json
from forgetcast.cli.input_files import shown_name
from forgetcast.errors import BadDataset, ConfigurationError
from forgetcast.schemas import Cell, Recipe, Setting, Shape
from forgetcast.wording import sentence

S = TypeVar("S", bound=Shape)
C = TypeVar("C", bound=Cell)


class OwnRun(Shape):
    """How a training run that measured itself was made, where that differs from the matrix.

    What else is in a matrix's definition, as `matrix export --spec` writes it, may stand here and is not read.
    """

    recipe: Recipe | None = None
    setting: Setting | None = None
    id: Any = None
    upstream_set: Any = None
    model: Any = None


def read_shape(path: Path, kind: type[S]) -> S:
    """A JSON file of one shape. Raises ConfigurationError naming the field that is wrong."""
    try:
        return kind.model_validate(strict_json.load(path.read_bytes().removeprefix(BOM_UTF8)))
    except ValueError as error:
        raise ConfigurationError(f"{shown_name(path)}: {_first(error, 'the file')}") from error


def read_cells(path: Path) -> list[Cell]:
    """Measured cells, one JSON object a line. Raises BadDataset naming line and field."""
    return read_lines(path, Cell)


def read_lines(path: Path, kind: type[C]) -> list[C]:
    """Cells of a kind, one JSON object a line. Raises BadDataset naming line and field."""
    cells = []
    where = shown_name(path)
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    cells.append(kind.model_validate(strict_json.load(line.removeprefix(BOM_UTF8).strip())))
                except ValueError as error:
                    raise BadDataset(f"{where}, line {number}: {_first(error, 'the cell')}") from error
    if not cells:
        raise BadDataset(f'{where} is empty; write one {{"example_id", "before", "after"}} a line')
    return cells


def first_wrong(error: ValidationError, whole: str = "as a whole") -> str:
    """The first field that is wrong, and what about it."""
    return _first(error, whole)


def _first(error: ValueError, whole: str) -> str:
    if not isinstance(error, ValidationError):
        return f"{whole} is not JSON: {error}"
    first = error.errors(include_url=False, include_input=False)[0]
    where = "/".join(map(str, first["loc"])) or whole
    return f"{where}: {sentence(first)}"

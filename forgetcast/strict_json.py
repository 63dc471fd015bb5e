"""JSON in which nothing is lost or guessed: no name twice in an object, no NaN, no infinity."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

MOST_NAMES = 1000  # in one object: whatever is made of it names each that does not belong


def load(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError saying what is wrong with it."""
    try:
        return DECODER.decode(text if isinstance(text, str) else text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members) > MOST_NAMES:
        raise ValueError(f"an object has {len(members)} names, at most {MOST_NAMES} are read")
    found = dict(members)
    if len(found) < len(members):
        names = Counter(name for name, _value in members)
        raise ValueError(f"the name {names.most_common(1)[0][0][:64]!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)

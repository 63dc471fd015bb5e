"""A fine-tuning file looked at before anything is sent, so that a slip is named with its line at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from forgetcast.errors import BadDataset

FORMS = '{"text"}, {"prompt", "completion"} or {"messages"}'
ROLES = ("system", "user", "assistant", "tool")


def check_dataset(path: Path) -> int:
    """How many examples the file has.

    Raises
    ------
    BadDataset : no such file, an empty one, or a line that cannot be used
    """
    n_examples = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _check_line(path, number, line)
                    n_examples += 1
    except FileNotFoundError as error:
        raise BadDataset(f"there is no file {path}") from error
    except OSError as error:
        raise BadDataset(f"{path} cannot be read: {error.strerror}") from error
    if n_examples == 0:
        raise BadDataset(f"{path} is empty; write one JSON object a line: {FORMS}")
    return n_examples


def _check_line(path: Path, number: int, line: bytes) -> None:
    where = f"{path}, line {number}"
    try:
        example = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadDataset(f"{where}: not JSON ({error})") from error
    if not isinstance(example, dict):
        raise BadDataset(f"{where}: a JSON object is needed, one of {FORMS}")
    given = [name for name in ("text", "prompt", "completion", "messages") if example.get(name) is not None]
    if given == ["messages"]:
        _check_messages(where, example["messages"])
    elif given in (["text"], ["prompt", "completion"]):
        for name in given:
            if not isinstance(example[name], str):
                raise BadDataset(f"{where}: the field {name!r} must be a string")
    elif given in (["prompt"], ["completion"]):
        missing = "completion" if given == ["prompt"] else "prompt"
        raise BadDataset(f"{where}: the field {missing!r} is missing beside {given[0]!r}")
    else:
        found = ", ".join(given) or ", ".join(map(str, example)) or "nothing"
        raise BadDataset(f"{where}: one of {FORMS} is needed, found {found}")


def _check_messages(where: str, messages: Any) -> None:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadDataset(f"{where}: the field 'messages' must be a list of {{role, content}}")
    for place, message in enumerate(messages):
        if message.get("role") not in ROLES:
            raise BadDataset(f"{where}: the field 'messages/{place}/role' must be one of {', '.join(ROLES)}")
        if not isinstance(message.get("content"), str):
            raise BadDataset(f"{where}: the field 'messages/{place}/content' must be a string")
    if not any(message["role"] == "assistant" for message in messages):
        raise BadDataset(f"{where}: 'messages' has no turn of the assistant to learn from")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")

"""Policies in files, YAML or JSON; what is wrong is said with its path and the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from forgetcast import strict_json
from forgetcast.errors import ConfigurationError, FieldError, PolicyInvalid
from forgetcast.gate.policy import Policy

MOST_BYTES = 4 << 20
SHOWN = 5  # of the mistakes of a policy
JSON_SUFFIX = ".json"
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


def preset() -> str:
    """The recommended policy, with comments. YAML"""
    return (resources.files("forgetcast.gate") / "recommended.yml").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """JSON Schema of a policy, for editors and other programs."""
    title = {"$schema": SCHEMA_ID, "title": "Policy of a Forgetcast release gate"}
    return {**title, **Policy.model_json_schema(), "title": title["title"]}


def read_policy(path: Path, *, shown: str | None = None) -> Policy:
    """The policy in a file: JSON if it is called so or begins with a brace, else YAML.

    Raises
    ------
    PolicyInvalid : with the path of every field that is wrong
    ConfigurationError : YAML without PyYAML
    """
    where = shown or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyInvalid(f"{where}: {error.strerror or error}") from error
    if len(content) > MOST_BYTES:
        raise PolicyInvalid(f"{where} has {len(content)} bytes; a policy has at most {MOST_BYTES}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyInvalid(f"{where}: byte {error.start} is no UTF-8") from error
    return parse_policy(text, as_json=path.suffix == JSON_SUFFIX or text.lstrip().startswith("{"), where=where)


def parse_policy(text: str, *, as_json: bool, where: str = "the policy") -> Policy:
    """The policy in a text. Raises as `read_policy` does."""
    if as_json:
        try:
            return check_policy(strict_json.load(text), where=where)
        except ValueError as error:
            raise PolicyInvalid(f"{where} is no JSON: {error}") from error
    return check_policy(_yaml(text, where), where=where)


def check_policy(content: Any, *, where: str = "the policy") -> Policy:
    """The policy that plain values make. Raises PolicyInvalid."""
    if not isinstance(content, Mapping):
        raise PolicyInvalid(
            f"{where} is no policy; it begins with `assertions:` (`forgetcast gate --preset` shows one)"
        )
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        found = tuple(_mistakes(error))
        said = "; ".join(f"{one.pointer or '/'}: {one.detail}" for one in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise PolicyInvalid(f"{where}: {said}{more}", errors=found) from error


def _mistakes(error: ValidationError) -> Iterator[FieldError]:
    every = error.errors(include_url=False, include_context=False)
    inside = {one["loc"][:1] for one in every if len(one["loc"]) > 1}
    misspelt = [one["loc"] for one in every if one["type"] == "extra_forbidden"]
    for one in every:
        if one["type"] == "missing" and any(_is_meant(one["loc"], other) for other in misspelt):
            continue
        if one["type"] == "too_short" and one["loc"] in inside:
            continue  # what is wrong with its elements is said, and left none
        pointer = "".join(f"/{part}" for part in one["loc"])
        detail = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            detail = f"there is no such field{_meant(str(one['loc'][-1]), _fields_at(one['loc'][:-1]))}"
        elif one["type"] == "enum" and isinstance(one["input"], str):
            near = difflib.get_close_matches(one["input"], one["msg"].split("'")[1::2], n=1)
            detail += f"; did you mean {near[0]!r}?" if near else ""
        elif one["type"] == "missing":
            detail = "is missing"
        yield FieldError(pointer, detail)


def _is_meant(missing: Sequence[str | int], misspelt: Sequence[str | int]) -> bool:
    """Whether a field that is not there stands beside it under a wrong name."""
    beside = misspelt[:-1] == missing[:-1]
    return beside and bool(difflib.get_close_matches(str(misspelt[-1]), [str(missing[-1])]))


def _meant(given: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(given, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(known)}" if known else ""


def _fields_at(place: Sequence[str | int]) -> list[str]:
    """Names of the fields that the policy has there."""
    kind: Any = Policy
    for part in place:
        if isinstance(part, str) and isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = _without_none(kind.model_fields[part].annotation) if part in kind.model_fields else None
        elif get_origin(kind) is tuple:
            kind = get_args(kind)[0]
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next(part for part in get_args(kind) if part is not NoneType)
    return kind


def _yaml(text: str, where: str) -> Any:
    try:
        from forgetcast.gate.yaml_text import load_yaml
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{where} is YAML, which `pip install 'forgetcast[gate]'` reads; a policy may be JSON as well"
        ) from error
    try:
        return load_yaml(text)
    except ValueError as error:
        raise PolicyInvalid(f"{where} is no YAML: {error}") from error

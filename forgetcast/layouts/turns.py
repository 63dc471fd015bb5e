"""Turns of a conversation as services and data sets write them -> {"role", "content"} as chat templates read them.

Kept where they are given: `tool_calls`, `tool_call_id`, `name`, the thoughts of a reply as `reasoning_content`, and
`weight` 0 of a reply that is not learned from.
Other fields of a turn are not read. A field that is null is absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from forgetcast.layouts.places import Unusable

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
SPEAKER = ("role", "from")
SAID = ("content", "value", "parts")
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
KEPT = ("tool_call_id", "name")
THOUGHTS = ("reasoning_content", "thinking", "reasoning")  # the names that transformers' chat templates read

Turn = dict[str, Any]


def turns(value: Any, field: str) -> list[Turn]:
    """A list of turns, of which one at least is a reply. Raises Unusable."""
    if not isinstance(value, list):
        raise Unusable(field, "must be a list of turns, {role, content} each")
    made = [turn(one, f"{field}/{place}") for place, one in enumerate(value)]
    if not any(one["role"] == "assistant" for one in made):
        raise Unusable(field, "has no turn of the assistant to learn from")
    return made


def turn(value: Any, field: str) -> Turn:
    """One turn. Raises Unusable."""
    if not isinstance(value, Mapping):
        raise Unusable(field, "must be a turn, {role, content}")
    speaker = next((name for name in SPEAKER if value.get(name) is not None), "role")
    role = ROLES.get(str(value.get(speaker)).lower())
    if role is None:
        raise Unusable(f"{field}/{speaker}", "must be one of system, user, assistant and tool")
    said = next((name for name in SAID if value.get(name) is not None), "content")
    calls = _calls(value, role, field)
    made: Turn = {"role": role, "content": _content(value, said, calls, f"{field}/{said}")}
    if calls:
        made["tool_calls"] = calls
    made |= {name: str(value[name]) for name in KEPT if value.get(name) is not None}
    thoughts = next((value[name] for name in THOUGHTS if value.get(name) is not None), "")
    if not isinstance(thoughts, str):
        raise Unusable(f"{field}/reasoning_content", "must be a string")
    if role == "assistant" and thoughts:
        made["reasoning_content"] = thoughts
    if role == "assistant" and _weight(value, field) == 0:
        made["weight"] = 0
    return made


def tools(value: Any, field: str) -> list[dict[str, Any]]:
    """Descriptions of tools, as a list or as JSON of one. Raises Unusable."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError) as error:
            raise Unusable(field, f"is a string, and not JSON: {error}") from error
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Unusable(field, "must be a list of tools, each a JSON object")
    return [one if "function" in one else {"type": "function", "function": one} for one in value]


def is_learned_from(one: Turn) -> bool:
    return one["role"] == "assistant" and one.get("weight") != 0 and bool(one["content"] or one.get("tool_calls"))


def _content(value: Mapping[str, Any], said: str, calls: Sequence[Any], field: str) -> str:
    content = value.get(said)
    if content is None:
        content = value.get("refusal")
    if content is None and calls:
        return ""
    if content is None:
        absent = "is null" if said in value else "is missing"
        raise Unusable(field, f"{absent}, and the turn has no tool calls")
    if isinstance(content, list):
        return "".join(_part(part, f"{field}/{place}") for place, part in enumerate(content))
    if isinstance(content, Mapping) and value.get("role") in ("tool", "function"):
        return json.dumps(content, ensure_ascii=False)
    if isinstance(content, str):
        return "" if calls and str(value.get("from")) == "function_call" else content
    raise Unusable(field, "must be a string, or a list of parts with text")


def _part(part: Any, field: str) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping):
        kind = part.get("type") or "text"
        if kind not in TEXT_PARTS:
            raise Unusable(field, f"is of the type {kind}, and only text is read")
        text = part.get("refusal" if kind == "refusal" else "text")
        if isinstance(text, str):
            return text
    raise Unusable(field, "must be a part with text: {type, text}")


def _calls(value: Mapping[str, Any], role: str, field: str) -> list[dict[str, Any]]:
    """Tool calls of a turn, in whichever of three forms."""
    if role != "assistant":
        return []
    if value.get("tool_calls") is not None:
        calls, field = value["tool_calls"], f"{field}/tool_calls"
    elif value.get("function_call") is not None:  # before there were several
        calls, field = [value["function_call"]], f"{field}/function_call"
    elif value.get("from") == "function_call":
        calls, field = _spoken_call(value.get("value")), f"{field}/value"
    else:
        return []
    if not isinstance(calls, list):
        raise Unusable(field, "must be a list of tool calls")
    return [_call(one, f"{field}/{place}") for place, one in enumerate(calls)]


def _spoken_call(said: Any) -> list[Any]:
    """A call that is written as the text of a turn; none where it is no JSON, for then it is a text."""
    try:
        spoken = json.loads(said)
    except (TypeError, ValueError, RecursionError):
        return []
    calls = spoken if isinstance(spoken, list) else [spoken]
    return calls if all(isinstance(one, dict) and "name" in one for one in calls) else []


def _call(value: Any, field: str) -> dict[str, Any]:
    function = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Unusable(field, "must be a call of a function: {type, function: {name, arguments}}")
    call: dict[str, Any] = {
        "type": "function",
        "function": {"name": function["name"], "arguments": _arguments(function.get("arguments"))},
    }
    if isinstance(value.get("id"), str):
        call["id"] = value["id"]
    return call


def _arguments(value: Any) -> Any:
    """As an object, which is what chat templates write out; OpenAI's form is a string of JSON."""
    if value is None:
        return {}
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return found if isinstance(found, dict) else value
    return value


def _weight(value: Mapping[str, Any], field: str) -> float:
    weight = value.get("weight")
    if weight is None:
        return 1
    if isinstance(weight, bool) or weight not in (0, 1):
        raise Unusable(f"{field}/weight", "must be 0 or 1")
    return float(weight)

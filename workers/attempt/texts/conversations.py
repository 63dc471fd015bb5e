"""Conversations -> the text that the model's chat template makes of them, and where its replies stand in it.

A template is a program and says where a reply stands only if it marks it ({% generation %}); few do. For the others
every field of a reply is replaced by a marker, the conversation is rendered once more, and what lies around the markers
is the template's own: headers, marks of the end, an empty block of thoughts. Nothing is looked for in people's words.

    a reply, as it is learned and scored
        what the turn says: its thoughts (reasoning_content, or <think> in the content), content and tool calls
        with the header of thoughts or calls, since the model has to write that too
        with the mark that ends the turn, since the model has to stop there
    not the header of the turn, and no empty block of thoughts that the template adds by itself
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from typing import Any, Protocol

from transformers.utils.chat_template_utils import render_jinja_template

from forgetcast.errors import ModelMismatch, UnsupportedModel
from forgetcast.layouts.places import Unusable

Turn = dict[str, Any]
Span = tuple[int, int]  # of characters

# Some templates print today's date, under which a model measured before midnight and after it would differ. This one is
# what Llama 3's template prints where it knows no date.
PRINTED_DATE = date(2024, 7, 26)
_TODAY = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
_MARKS_REPLIES = re.compile(r"\{%-?\s*generation\s*-?%\}")
_THOUGHTS = re.compile(r"(<think>\s*)(.*?)(\s*</think>\s*)", re.DOTALL)


class ChatTokenizer(Protocol):
    """The part of a transformers tokenizer that knows its chat template."""

    chat_template: Any

    @property
    def special_tokens_map(self) -> Any: ...

    def get_chat_template(self, chat_template: Any = None, tools: Any = None) -> str: ...


def template_sha256(tokenizer: ChatTokenizer) -> str | None:
    """Digest of the template as the model's folder has it; None without one."""
    template = tokenizer.chat_template
    if not template:
        return None
    return sha256(str(template if isinstance(template, str) else sorted(template.items())).encode()).hexdigest()


def check_template(tokenizer: ChatTokenizer, expected: str | None) -> None:
    """Raises ModelMismatch where the setting names another chat template than the model has."""
    found = template_sha256(tokenizer)
    if expected is not None and found != expected:
        has = "has none" if found is None else f"has one of the sha256 {found}"
        raise ModelMismatch(f"the setting names a chat template of the sha256 {expected}; the model's folder {has}")


def render_conversation(
    tokenizer: ChatTokenizer, messages: Sequence[Turn], tools: Sequence[Any] | None
) -> tuple[str, list[Span]]:
    """The text of a conversation and the spans of its replies; a turn of weight 0 is read and has none.

    Raises
    ------
    Unusable : the model's chat template does not take this conversation, or its replies cannot be told apart
    UnsupportedModel : the model has no chat template
    """
    if not tokenizer.chat_template:
        raise UnsupportedModel(
            "the model's tokenizer has no chat template; give the examples as text or prompt and completion"
        )
    template = _Template(tokenizer, tools)
    turns = [{name: value for name, value in message.items() if name != "weight"} for message in messages]
    learned = [message["role"] == "assistant" and message.get("weight") != 0 for message in messages]
    if template.marks_replies:
        return _as_marked(template, turns, learned)
    text = template.render(turns)
    try:
        return text, _between_markers(template, text, turns, learned)
    except _Rewritten:
        return text, _between_beginnings(template, text, turns, learned)


class _Template:
    """A model's chat template, at a fixed date."""

    def __init__(self, tokenizer: ChatTokenizer, tools: Sequence[Any] | None) -> None:
        self._tools = None if tools is None else list(tools)
        try:
            source = tokenizer.get_chat_template(tools=self._tools)
        except ValueError as error:
            raise UnsupportedModel(f"the model's chat template cannot be chosen: {error}") from error
        self._source = _TODAY.sub(lambda found: repr(PRINTED_DATE.strftime(found[2])), source)
        self._special = dict(tokenizer.special_tokens_map)
        self.marks_replies = bool(_MARKS_REPLIES.search(source))

    def render(self, turns: Sequence[Turn], *, open_reply: bool = False) -> str:
        return self._rendered(turns, add_generation_prompt=open_reply)[0]

    def render_marked(self, turns: Sequence[Turn]) -> tuple[str, list[Span]]:
        return self._rendered(turns, return_assistant_tokens_mask=True)

    def _rendered(self, turns: Sequence[Turn], **how: Any) -> tuple[str, list[Span]]:
        try:
            rendered: Any = render_jinja_template(
                [list(turns)], tools=self._tools, chat_template=self._source, **self._special, **how
            )
        except Exception as error:  # a template is a program: whatever it raises, it does not take these turns
            raise Unusable("messages", f"the model's chat template does not take this conversation: {error}") from error
        texts, spans = rendered
        return str(texts[0]), list(spans[0]) if spans else []


def _as_marked(template: _Template, turns: Sequence[Turn], learned: Sequence[bool]) -> tuple[str, list[Span]]:
    """As the template itself marks replies, one block a turn."""
    text, spans = template.render_marked(turns)
    replies = [learn for turn, learn in zip(turns, learned, strict=True) if turn["role"] == "assistant"]
    if all(replies):
        return text, spans
    if len(spans) != len(replies):
        raise Unusable("messages", "has turns of weight 0, and the chat template does not mark every reply by itself")
    return text, [span for span, learn in zip(spans, replies, strict=True) if learn]


class _Rewritten(Exception):
    """The template makes something else of what a turn says."""


@dataclass
class _Field:
    """What stands for a marker: the marker, what it replaces, and the turn that says so."""

    marker: str
    said: str
    place: int
    is_thought: bool = False
    is_call: bool = False


def _between_markers(template: _Template, text: str, turns: Sequence[Turn], learned: Sequence[bool]) -> list[Span]:
    """Spans of the replies, found by rendering them again with markers."""
    fields: list[_Field] = []
    marked_turns = [
        _marked(turn, place, text, fields) if learn else turn
        for place, (turn, learn) in enumerate(zip(turns, learned, strict=True))
    ]
    marked = template.render(marked_turns)
    pieces, kept = _apart(marked, fields)
    found = _align(text, pieces, kept)
    spans: list[Span] = []
    for place, learn in enumerate(learned):
        if not learn:
            continue
        own = [at for at, field in enumerate(kept) if field.place == place]
        if not own:
            raise _Rewritten
        first, last = own[0], own[-1]
        begin, end = found[first][0], found[last][1]
        if kept[first].is_thought or kept[first].is_call:
            begin = _after_header(template, turns[:place], text, begin, begin - len(pieces[first]))
        so_far, piece = marked_turns[: place + 1], pieces[last + 1]
        mark = piece.rstrip() if place + 1 == len(turns) else _mark_of_end(template, so_far, kept[last], piece)
        spans.append((begin, end + len(mark)))
    return spans


def _between_beginnings(template: _Template, text: str, turns: Sequence[Turn], learned: Sequence[bool]) -> list[Span]:
    """Spans of the replies where the text of the turns up to each is the beginning of the whole text."""
    spans: list[Span] = []
    for place, learn in enumerate(learned):
        if learn:
            opening = template.render(turns[:place], open_reply=True) if place else ""
            closing = template.render(turns[: place + 1])
            if not (opening and text.startswith(opening) and text.startswith(closing)):
                told = f"turn {place + 1} is rewritten by the model's chat template"
                raise Unusable("messages", f"{told}, so that its tokens cannot be told from the template's own")
            spans.append((len(opening), len(closing.rstrip())))
    return spans


def _marked(turn: Turn, place: int, text: str, fields: list[_Field]) -> Turn:
    """A reply with markers for what it says; each is noted in `fields`."""

    def marker(said: str, **kind: bool) -> str:
        if not said.strip():
            return said
        name, salt = f"reply{place}field{len(fields)}end", 0
        while name in text:
            salt += 1
            name = f"reply{place}field{len(fields)}salt{salt}end"
        fields.append(_Field(name, said, place, **kind))
        return name

    marked = dict(turn)
    if isinstance(turn.get("reasoning_content"), str):
        marked["reasoning_content"] = marker(turn["reasoning_content"], is_thought=True)
    thoughts = _THOUGHTS.match(turn["content"])
    if thoughts is None:
        marked["content"] = marker(turn["content"])
    else:
        thought = marker(thoughts[2], is_thought=True)
        marked["content"] = thoughts[1] + thought + thoughts[3] + marker(turn["content"][thoughts.end() :])
    if turn.get("tool_calls"):
        marked["tool_calls"] = [
            call | {"function": call["function"] | {"name": marker(call["function"]["name"], is_call=True)}}
            for call in turn["tool_calls"]
        ]
    if not any(field.place == place for field in fields):  # it says nothing: its place is that of a marker
        name = marker("x")
        fields[-1].said, marked["content"] = "", name
    return marked


def _apart(marked: str, fields: Sequence[_Field]) -> tuple[list[str], list[_Field]]:
    """The rendered text around the markers, and the fields that are left in it; one piece more than fields."""
    places = {field.marker: marked.find(field.marker) for field in fields}
    kept = sorted((field for field in fields if places[field.marker] >= 0), key=lambda field: places[field.marker])
    pieces, at = list[str](), 0
    for field in kept:
        pieces.append(marked[at : places[field.marker]])
        at = places[field.marker] + len(field.marker)
    return [*pieces, marked[at:]], kept


def _align(text: str, pieces: Sequence[str], kept: Sequence[_Field]) -> list[Span]:
    """Where each field stands in the text: between two pieces is what was said, trimmed perhaps. Raises _Rewritten."""
    at, found = len(pieces[0]), list[Span]()
    if not text.startswith(pieces[0]):
        raise _Rewritten
    for place, field in enumerate(kept):
        piece, is_last = pieces[place + 1], place + 1 == len(kept)
        end = next((at + len(form) for form in _forms(field.said) if _goes_on(text, at, form, piece, is_last)), None)
        if end is None:
            raise _Rewritten
        found.append((at, end))
        at = end + len(piece)
    return found


def _forms(said: str) -> Iterator[str]:
    """What a template may make of a field: the whole, or trimmed on either side."""
    yield said
    yield said.strip()
    yield said.lstrip()
    yield said.rstrip()


def _goes_on(text: str, at: int, form: str, piece: str, is_last: bool) -> bool:
    if not text.startswith(form, at):
        return False
    end = at + len(form)
    return text.startswith(piece, end) and (not is_last or end + len(piece) == len(text))


def _after_header(template: _Template, before: Sequence[Turn], text: str, begin: int, earliest: int) -> int:
    """Where a reply begins that thinks or calls first: behind the header that opens every reply."""
    try:
        plain, opened = template.render(before), template.render(before, open_reply=True)
    except Unusable:
        return begin
    header = opened[len(_shared_beginning(plain, opened)) :].partition("<think>")[0]
    found = text.rfind(header, max(0, earliest), begin) if header else -1
    return begin if found < 0 else found + len(header)


def _mark_of_end(template: _Template, so_far: Sequence[Turn], last: _Field, piece: str) -> str:
    """What the template writes behind a reply whatever follows; the line break behind the mark is not part of it.

    Some write another mark behind the last reply of all; that one is none.
    """
    _before, _marker, mark = template.render(so_far).rpartition(last.marker)
    shared = _shared_beginning(mark, piece).rstrip()
    return shared if shared == mark.rstrip() else shared[: max(0, shared.rfind("<"))].rstrip()


def _shared_beginning(one: str, other: str) -> str:
    length = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    return one[: min(len(one), len(other)) if length is None else length]

"""The layouts, one entry each: which fields tell it, and how a line is converted. The first that fits is taken.

    layout                     fields                                      read as
    text                       text                                        as it is
    prompt and completion      prompt, completion                          as it is, joined without anything between
    OpenAI chat                messages [, tools]                          messages
    ShareGPT                   conversations [, system, tools]             messages
    prompt and completion of turns   prompt, completion, lists of turns    messages; only the completion is learned from
    Gemini                     contents [, systemInstruction]              messages
    Alpaca                     instruction, output [, input, history]      prompt in Alpaca's words, and completion
    Dolly                      instruction, response [, context]           the same
    prompt and response, question and answer, ...   (PAIRS)                prompt, a line break, completion
    preference pairs, ...      chosen, rejected                            not read, and said what to do

Fields that a layout does not name are not read, and null is absent. A new layout is one entry of LAYOUTS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from forgetcast.layouts.places import Unusable
from forgetcast.layouts.turns import Turn, tools, turn, turns

Line = Mapping[str, Any]
Content = dict[str, Any]

FORMS = '{"text"}, {"prompt", "completion"} or {"messages"}'


class Layout(NamedTuple):
    """`fits` says whether a line (without its nulls) has this layout; `convert` raises Unusable."""

    name: str
    one: str
    many: str
    fits: Callable[[Line], bool]
    convert: Callable[[Line], Content]

    def counted(self, n: int) -> str:
        return f"{n:,} {self.one if n == 1 else self.many}"


def layout_of(line: Line) -> Layout:
    """The first layout that fits. Raises Unusable."""
    found = next((layout for layout in LAYOUTS if layout.fits(line)), None)
    if found is None:
        _unknown(line)
    return found


def _has(*names: str) -> Callable[[Line], bool]:
    return lambda line: all(name in line for name in names)


def _string(line: Line, name: str) -> str:
    value = line.get(name, "")
    if isinstance(value, str):
        return value
    by_column = "; a file by columns is written by rows with to_json(orient='records', lines=True)"
    raise Unusable(name, f"must be a string{by_column if isinstance(value, list | dict) else ''}")


# The three forms that examples have here


def _text(line: Line) -> Content:
    return {"text": _string(line, "text")}


def _prompt_completion(line: Line) -> Content:
    for given, missing in (("prompt", "completion"), ("completion", "prompt")):
        if missing not in line:
            raise Unusable("", f"the field {missing!r} is missing beside {given!r}")
    return {"prompt": _string(line, "prompt"), "completion": _string(line, "completion")}


def _messages(line: Line) -> Content:
    return _with_tools({"messages": turns(line["messages"], "messages")}, line)


def _with_tools(content: Content, line: Line) -> Content:
    for name in ("tools", "functions"):
        if name in line:
            given = tools(line[name], name)
            return content | ({"tools": given} if given else {})
    return content


def _several_forms(line: Line) -> bool:
    texts = "text" in line and any(name in line for name in ("prompt", "completion", "messages"))
    return texts or ("messages" in line and "completion" in line)


def _refuse_several(line: Line) -> NoReturn:
    found = ", ".join(name for name in ("text", "prompt", "completion", "messages") if name in line)
    raise Unusable("", f"one of {FORMS} is needed, found {found}; leave out what is not to be learned from")


# Conversations


def _turns_of_a_pair(line: Line) -> bool:
    return isinstance(line.get("prompt"), list) and isinstance(line.get("completion"), list)


def _conversational_pair(line: Line) -> Content:
    """As TRL has it: the prompt is read, the completion is learned from."""
    before = [turn(one, f"prompt/{place}") for place, one in enumerate(line["prompt"])]
    before = [one | {"weight": 0} if one["role"] == "assistant" else one for one in before]
    return _with_tools({"messages": before + turns(line["completion"], "completion")}, line)


def _is_sharegpt(line: Line) -> bool:
    said = line.get("messages")
    told = isinstance(said, list) and bool(said) and isinstance(said[0], Mapping) and "from" in said[0]
    return told or "conversations" in line or "conversation" in line


def _sharegpt(line: Line) -> Content:
    name = next(name for name in ("conversations", "conversation", "messages") if name in line)
    return _with_tools({"messages": _system(line, "system") + turns(line[name], name)}, line)


def _system(line: Line, name: str) -> list[Turn]:
    """A system prompt that stands beside the turns; an empty one is none."""
    said = _string(line, name)
    return [{"role": "system", "content": said}] if said else []


def _gemini(line: Line) -> Content:
    system = line.get("systemInstruction")
    before = [turn({**system, "role": "system"}, "systemInstruction")] if isinstance(system, Mapping) else []
    return {"messages": before + turns(line["contents"], "contents")}


# Instructions and pairs

ALPACA = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n"
    "### Response:\n"
)
ALPACA_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:\n"
)


def _alpaca(answer: str, context: str) -> Callable[[Line], Content]:
    def convert(line: Line) -> Content:
        said, system = _string(line, answer), _string(line, "system")
        if line.get("history"):
            return {"messages": _history(line, _joined(line["instruction"], _string(line, context)), said)}
        words = ALPACA if _string(line, context) else ALPACA_WITHOUT_INPUT
        prompt = words.format(instruction=_string(line, "instruction"), input=_string(line, context))
        return {"prompt": f"{system}\n\n{prompt}" if system else prompt, "completion": said}

    return convert


def _history(line: Line, asked: str, said: str) -> list[Turn]:
    """Earlier questions and answers, which are read and not learned from, before the last."""
    rounds = line["history"]
    if not isinstance(rounds, list) or not all(isinstance(one, list) and len(one) == 2 for one in rounds):
        raise Unusable("history", "must be a list of [question, answer]")
    made = _system(line, "system")
    for place, (question, answer) in enumerate(rounds):
        made.append(turn({"role": "user", "content": question}, f"history/{place}"))
        made.append(turn({"role": "assistant", "content": answer, "weight": 0}, f"history/{place}"))
    return [*made, {"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


PAIRS = (
    ("prompt", "response"),
    ("prompt", "output"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
    ("input", "target"),
    ("inputs", "targets"),
    ("source", "target"),
    ("user", "assistant"),
)
SYSTEM = ("system", "system_prompt")


def _pair(question: str, answer: str) -> Layout:
    def convert(line: Line) -> Content:
        asked, said = _string(line, question), _string(line, answer)
        system = next((_string(line, name) for name in SYSTEM if name in line), "")
        prompt = f"{system}\n\n{asked}" if system else asked
        apart = not prompt or prompt[-1].isspace() or said[:1].isspace()
        return {"prompt": prompt if apart else f"{prompt}\n", "completion": said}

    return Layout(f"{question} and {answer}", "pair", "pairs", _has(question, answer), convert)


# What is recognised to say what it is

SUPERVISED = "forecasts are of supervised fine-tuning, on one answer to each prompt"


def _named(fits: Callable[[Line], bool], name: str, what: str) -> Layout:
    def convert(line: Line) -> NoReturn:
        raise Unusable("", what)

    return Layout(name, "", "", fits, convert)


def _preference(chosen: str, rejected: str) -> Layout:
    what = (
        f"this is a preference pair ({chosen}, {rejected}), as for DPO or a reward model; {SUPERVISED}. To forecast "
        f"what learning the preferred answers makes forgotten, write each as {{prompt, completion}} with the "
        f"preferred answer as completion, or its whole conversation as {{messages}}: jq -c '{{prompt, completion: "
        f".{chosen}}}' FILE"
    )
    return _named(_has(chosen, rejected), "preference pairs", what)


def _is_rated(line: Line) -> bool:
    return "completion" in line and isinstance(line.get("label"), bool)


RATED = (
    f"this is an answer with a verdict (prompt, completion, label), as for KTO; {SUPERVISED}. Keep those whose label "
    "is true: jq -c 'select(.label) | {prompt, completion}' FILE"
)
TOKENS = "this is tokenised already (input_ids); send the texts, since the base model has a tokenizer of its own"
ONE_TURN = 'this is one turn and no example; put the turns of a conversation into {"messages": [...]}, one a line'


def _is_wrapped(line: Line) -> bool:
    """One object around all examples."""
    return len([value for value in line.values() if _is_list_of_objects(value)]) == 1 and not _is_told(line)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _is_told(line: Line) -> bool:
    return any(name in line for name in ("messages", "conversations", "conversation", "contents"))


WRAPPED = "this is one object around a list of examples; send the list alone: jq -c '.[] | arrays | .[]' FILE"

LAYOUTS = (
    _preference("chosen", "rejected"),
    _preference("preferred_output", "non_preferred_output"),
    _named(_is_rated, "rated answers", RATED),
    Layout(
        "conversational prompt and completion", "conversation", "conversations", _turns_of_a_pair, _conversational_pair
    ),
    Layout("several forms", "", "", _several_forms, _refuse_several),
    Layout("ShareGPT", "conversation", "conversations", _is_sharegpt, _sharegpt),
    Layout("OpenAI chat", "conversation", "conversations", _has("messages"), _messages),
    Layout("Gemini", "conversation", "conversations", _has("contents"), _gemini),
    Layout("Alpaca", "instruction", "instructions", _has("instruction", "output"), _alpaca("output", "input")),
    Layout("Dolly", "instruction", "instructions", _has("instruction", "response"), _alpaca("response", "context")),
    Layout("prompt and completion", "pair", "pairs", _has("prompt", "completion"), _prompt_completion),
    *(_pair(question, answer) for question, answer in PAIRS),
    Layout("text", "text", "texts", _has("text"), _text),
    Layout("half a pair", "", "", lambda line: "prompt" in line or "completion" in line, _prompt_completion),
    _named(_has("input_ids"), "tokens", TOKENS),
    _named(lambda line: _has("role", "content")(line) or _has("from", "value")(line), "one turn", ONE_TURN),
    _named(_is_wrapped, "one object around a list", WRAPPED),
)


def _unknown(line: Line) -> NoReturn:
    found = ", ".join(map(str, line)) or "nothing"
    raise Unusable("", f"one of {FORMS} is needed, or a layout that is read as one of them; found {found}")

"""What a validation found wrong, as a sentence for whoever wrote the value: the library's own speak of its types.

Each takes what pydantic says of one place: `type`, `ctx` (the bounds), `msg`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
FORMS = {
    ID_PATTERN: "an id has up to 128 letters, digits, dots, dashes and underscores, and begins with a letter or digit",
    SHA256_PATTERN: "a sha256 has 64 digits, 0 to 9 and a to f",
}
DURATION_FORM = "must be a duration, written like PT30S, PT10M, PT1H or P1D"
WHOLE, NUMBER, TRUTH, TEXT, LIST, OBJECT = (
    "must be a whole number",
    "must be a number",
    "must be true or false",
    "must be a text",
    "must be a list",
    "must be an object",
)
SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "int_type": WHOLE,
    "int_parsing": WHOLE,
    "int_from_float": WHOLE,
    "int_parsing_size": "has too many digits",
    "float_type": NUMBER,
    "float_parsing": NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": TRUTH,
    "bool_parsing": TRUTH,
    "string_type": TEXT,
    "string_unicode": "must be text in UTF-8",
    "list_type": LIST,
    "tuple_type": LIST,
    "dict_type": OBJECT,
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "dataclass_type": OBJECT,
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must have the form {pattern}",
    "time_delta_parsing": DURATION_FORM,
    "time_delta_type": DURATION_FORM,
    "datetime_type": "must be a time, written like 2026-12-01T08:00:00Z",
    "datetime_parsing": "must be a time, written like 2026-12-01T08:00:00Z",
    "datetime_from_date_parsing": "must be a time, written like 2026-12-01T08:00:00Z",
    "timezone_aware": "must be a time with its zone, written like 2026-12-01T08:00:00Z",
    "path_type": "must be a path",
}
OWN_WORDS = "Value error, "  # in front of what a check of ours says


def sentence(found: Mapping[str, Any]) -> str:
    """What is wrong at one place, without the place."""
    context = found.get("ctx", {})
    pattern = str(context.get("pattern", ""))
    if pattern in FORMS:
        return FORMS[pattern]
    known = SENTENCES.get(found["type"])
    if known is not None:
        return known.format_map({name: _shown(value) for name, value in context.items()})
    said = str(found["msg"])
    return said.removeprefix(OWN_WORDS) if said.startswith(OWN_WORDS) else said.replace("Input should", "must", 1)


def _shown(value: Any) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    is_long = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000
    return f"{value:,}" if is_long else str(value)

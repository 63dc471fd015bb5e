"""Log lines: JSON, or short ones on a terminal, with the ids of what they are about and without secrets.

Every module logs through the standard library. Fields of a line go into `extra`; ids that belong to every line of a
request or an attempt are bound with `bound` or `bind`. What users sent (texts, messages, file names) is never logged.
"""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from pydantic_core import to_json
from structlog.contextvars import bind_contextvars as bind
from structlog.contextvars import bound_contextvars as bound
from structlog.contextvars import clear_contextvars as unbind_all
from structlog.typing import EventDict

__all__ = ["LogFormat", "bind", "bound", "configure_logs", "formatter", "redact", "unbind_all"]

LogFormat = Literal["auto", "json", "text"]

SECRET = re.compile(
    r"(?P<key>fck_[a-z0-9]{8}_)[0-9A-Za-z]+"
    r"|(?P<token>\bhf_)[0-9A-Za-z]{8,}"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{16,}"
    r"|(?P<url>\w://[^\s:/@\"]*:)[^\s/@\"]+(?=@)"
    r"|(?P<name>(?:password|passwd|secret|api_?key|token|authorization)[\\\"']*\s*[=:]\s*[\\\"']*(?:bearer\s+|basic\s+)?)[^\s\\\"'&,;]+",
    re.IGNORECASE,
)
# A line without any of these words holds no secret; looking for them costs a tenth of the expression above.
HINTS = ("fck_", "hf_", "bearer", "basic", "@", "passw", "secret", "api_key", "apikey", "token", "authorization")
OF_A_RECORD = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
# Those that end a line or steer a terminal, and those that turn the direction of what follows.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def configure_logs(form: LogFormat) -> None:
    """Send every log line of this process to stderr; `auto` is short on a terminal and JSON elsewhere."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(as_json=form == "json" or (form == "auto" and not sys.stderr.isatty())))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    # No line says these, and a line a request pays for finding them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.getLogger("alembic").setLevel(logging.WARNING)  # names the kind of database each time it looks at it


def formatter(*, as_json: bool) -> logging.Formatter:
    """The form of a line. The last step takes secrets out of what is written, wherever they stood."""
    if as_json:
        return JsonLines()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _drop_duplicate,
            _escape_controls,
            _short,
            _redacted,
        ],
    )


class JsonLines(logging.Formatter):
    """A line as JSON. Written out, for a line a request by structlog's steps was a fifth of what a warm read costs."""

    def format(self, record: logging.LogRecord) -> str:
        fields = vars(record)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **structlog.contextvars.get_contextvars(),
            **{key: fields[key] for key in sorted(fields.keys() - OF_A_RECORD)},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        text = to_json(line, fallback=str).decode()
        return redact(CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text))  # JSON leaves some of them raw


def redact(text: str) -> str:
    """The text without API keys, tokens and passwords; what kind of secret it was is left."""
    lower = text.lower()
    if not any(hint in lower for hint in HINTS):
        return text
    return SECRET.sub(lambda found: f"{found[str(found.lastgroup)]}***", text)


def _drop_duplicate(_logger: Any, _name: str, line: EventDict) -> EventDict:
    line.pop("color_message", None)  # uvicorn's message once more, with colours
    return line


def _escape_controls(_logger: Any, _name: str, line: EventDict) -> EventDict:
    """No text from outside begins a line of its own or colours the terminal; a traceback keeps its lines, indented."""
    for key, value in line.items():
        if not isinstance(value, str):
            continue
        if key == "exception":
            line[key] = "\n".join("    " + CONTROL.sub(_escaped, part) for part in value.split("\n"))
        else:
            line[key] = CONTROL.sub(_escaped, value)
    return line


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _short(_logger: Any, _name: str, line: EventDict) -> str:
    """`12:00:00 warning workers.host.supervisor cannot claim  job_id=… attempt=1`."""
    time, level, logger, event = (line.pop(key, "") for key in ("time", "level", "logger", "event"))
    exception = line.pop("exception", None)
    fields = "".join(f" {key}={value}" for key, value in line.items())
    text = f"{time[11:19]} {level:<7} {logger}: {event}{fields}"
    return text if exception is None else f"{text}\n{exception}"


def _redacted(_logger: Any, _name: str, line: Any) -> Any:
    return redact(line)

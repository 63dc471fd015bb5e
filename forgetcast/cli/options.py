"""Options that several commands share, and what the text of an option may mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient

F = TypeVar("F", bound=Callable[..., Any])

# Fitting a new matrix version keeps the first reads of it waiting (`fit_pending`).
CALL_TIMEOUT = timedelta(minutes=2)


def service_options(command: F) -> F:
    """--url, --json and -q."""
    command = click.option("-q", "--quiet", is_flag=True, help="Only ids, one a line, and no progress.")(command)
    command = click.option("--json", "as_json", is_flag=True, help="The service's JSON.")(command)
    return url_option(command)


def url_option(command: F) -> F:
    text = "The service.  [default: FORGETCAST_URL, or this machine]"
    return click.option("--url", metavar="URL", help=text)(command)


def open_client(url: str | None) -> ForgetcastClient:
    from forgetcast.client import ForgetcastClient

    return ForgetcastClient(url=url, timeout=CALL_TIMEOUT)


def duration(value: str) -> timedelta:
    """A number with a unit: 90s, 10m, 2h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration; write 90s, 10m or 2h")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def rows(value: str) -> list[int]:
    """Row numbers from 0: 3, or 0:5 (up to and without 5), or several joined by commas: 0:5,7,9."""
    chosen: list[int] = []
    for part in value.split(","):
        found = re.fullmatch(r"(\d+)(?::(\d+))?", part.strip())
        if found is None:
            raise click.BadParameter(f"{part!r} names no row; write 0:5,7,9")
        first = int(found[1])
        chosen += range(first, int(found[2]) if found[2] else first + 1)
    return chosen


def names(value: str) -> list[str]:
    """Names joined by commas."""
    return [name.strip() for name in value.split(",") if name.strip()]


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

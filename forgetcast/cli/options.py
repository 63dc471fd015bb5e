"""Options that several commands share, and what the text of an option may mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forgetcast.errors import OutOfRange

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
    text = "The service.  [default: FORGETCAST_URL, that of forgetcast.toml, that of `forgetcast login`, this machine]"
    return click.option("--url", metavar="URL", help=text)(command)


def open_client(url: str | None, *, api_key: str | None = None) -> ForgetcastClient:
    from forgetcast.cli.project import project_url
    from forgetcast.client import ForgetcastClient

    if url is None and (url := project_url()) is not None and api_key is None:
        from forgetcast.client.login import read_login

        login = read_login()  # a key of the environment is not shown to a service that a file names
        api_key = (login.api_key if login is not None and login.url == url.rstrip("/") else None) or ""
    return ForgetcastClient(url=url, api_key=api_key, timeout=CALL_TIMEOUT)


def duration(value: str) -> timedelta:
    """A number with a unit: 90s, 10m, 2h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration; write 90s, 10m or 2h")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


@dataclass(frozen=True)
class Rows:
    """Rows as they were typed: (first, end) pairs, an end of None being that of the matrix."""

    text: str
    ranges: tuple[tuple[int, int | None], ...]

    def of(self, n_rows: int) -> list[int]:
        """The row numbers of a matrix with so many rows. Raises OutOfRange."""
        chosen: list[int] = []
        for first, end in self.ranges:
            if first >= n_rows or (end is not None and end > n_rows):
                raise OutOfRange(f"{self.text!r} names rows that are not there: they run from 0 to {n_rows - 1}.")
            chosen += range(first, n_rows if end is None else end)
        return chosen


def rows(value: str) -> Rows:
    """Row numbers from 0: 3, or 0:5 (up to and without 5), or 46: (to the end), or several joined by commas."""
    ranges: list[tuple[int, int | None]] = []
    for part in value.split(","):
        found = re.fullmatch(r"(\d{1,9})|(\d{0,9}):(\d{0,9})", part.strip())
        if found is None:
            raise click.BadParameter(f"{part!r} names no row; write 0:5,7,9 or 46:")
        first = int(found[1] or found[2] or 0)
        end = first + 1 if found[1] else int(found[3]) if found[3] else None
        if end is not None and end <= first:
            raise click.BadParameter(f"{part!r} names no row: it ends before it begins")
        ranges.append((first, end))
    return Rows(value, tuple(ranges))


def names(value: str) -> list[str]:
    """Names joined by commas."""
    return [name.strip() for name in value.split(",") if name.strip()]


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

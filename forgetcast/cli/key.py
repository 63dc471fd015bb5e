"""`forgetcast key`: API keys, on this machine's database or of a service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from forgetcast.cli.lazy_group import imported
from forgetcast.cli.options import open_client
from forgetcast.cli.output import note, print_json, print_table, say

if TYPE_CHECKING:
    from forgetcast.schemas import ApiKey, ApiKeyCreated

SCOPES = ("read", "submit", "measure", "admin")
F = TypeVar("F", bound=Callable[..., Any])


class Keys(Protocol):
    """What `client.api_keys` can, and what the service can on its own database."""

    def create(self, name: str, scopes: Sequence[str], *, expires_in: timedelta | None = None) -> ApiKeyCreated: ...
    def rotate(self, key_id: str, *, overlap: timedelta) -> ApiKeyCreated: ...
    def list(self) -> Iterator[ApiKey]: ...
    def revoke(self, key_id: str) -> ApiKey: ...


def where(command: F) -> F:
    """--url, --json and -q."""
    command = click.option("-q", "--quiet", is_flag=True, help="Only ids, one a line, or the new key.")(command)
    command = click.option("--json", "as_json", is_flag=True, help="As JSON.")(command)
    text = "A service, with an administrator's key.  [default: this machine's database]"
    return click.option("--url", metavar="URL", help=text)(command)


@click.group()
def key() -> None:
    """Make, list, rotate and revoke API keys."""


@key.command("create", epilog="Example: forgetcast key create --name ci --scope read --scope submit --days 90")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="One of several.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it works; for ever when not given.")
@where
def create(name: str, scopes: tuple[str, ...], days: int | None, url: str | None, as_json: bool, quiet: bool) -> None:
    """Make a key and show it once."""
    with _keys(url) as keys:
        created = keys.create(name, scopes, expires_in=None if days is None else timedelta(days=days))
    _show(created, as_json, quiet)


@key.command("ls", epilog="Example: forgetcast key ls")
@where
def ls(url: str | None, as_json: bool, quiet: bool) -> None:
    """List keys, without their secrets."""
    with _keys(url) as keys:
        found = list(keys.list())
    if as_json:
        print_json(list(found))
    elif quiet:
        say("".join(f"{one.id}\n" for one in found), nl=False)
    else:
        rows = [(one.id, ", ".join(one.scopes), f"{one.created_at:%Y-%m-%d}", one.name, _end(one)) for one in found]
        print_table(["key", "scopes", "made", "name", ""], rows)


@key.command("rotate", epilog="Example: forgetcast key rotate 4f7x2k9q --overlap 48")
@click.argument("key_id", metavar="KEY")
@click.option("--overlap", default=24, show_default=True, type=click.IntRange(0, 8760), help="Hours both keys work.")
@where
def rotate(key_id: str, overlap: int, url: str | None, as_json: bool, quiet: bool) -> None:
    """Make the successor of KEY, of the same name and scopes, and show it once."""
    with _keys(url) as keys:
        created = keys.rotate(key_id, overlap=timedelta(hours=overlap))
    _show(created, as_json, quiet)


@key.command("revoke", epilog="Example: forgetcast key revoke 4f7x2k9q")
@click.argument("key_id", metavar="KEY")
@where
def revoke(key_id: str, url: str | None, as_json: bool, quiet: bool) -> None:
    """End KEY; running services notice within 5 seconds."""
    with _keys(url) as keys:
        revoked = keys.revoke(key_id)
    if as_json:
        print_json(revoked)
    else:
        say(revoked.id if quiet else f"{revoked.id} is revoked")


@contextmanager
def _keys(url: str | None) -> Iterator[Keys]:
    if url is None:
        yield imported("key", "service.local_keys:LocalKeys")()
    else:
        with open_client(url) as client:
            yield client.api_keys


def _show(created: ApiKeyCreated, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(created)
    else:
        say(str(created.key))
    if not quiet:
        note(
            "Keep it: it is not shown again. Clients read it from FORGETCAST_API_KEY, or `forgetcast login` stores it."
        )


def _end(one: ApiKey) -> str:
    if one.revoked_at is not None:
        return f"revoked {one.revoked_at:%Y-%m-%d}"
    return "" if one.expires_at is None else f"until {one.expires_at:%Y-%m-%d %H:%M} UTC"

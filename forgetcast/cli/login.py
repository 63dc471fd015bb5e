"""`forgetcast login` and `logout`: which service commands speak to, and the key they show it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from forgetcast.cli.failures import failure_of
from forgetcast.cli.options import open_client, url_option
from forgetcast.cli.output import note, say
from forgetcast.errors import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient

REFUSED = "nothing was stored: check the key and the URL; an operator makes a key with `forgetcast key create`"
NO_KEY = "nothing was stored: give the key when it is asked for; an operator makes one with `forgetcast key create`"


@click.command(epilog="Example: forgetcast login --url https://forgetcast.example < key.txt")
@url_option
def login(url: str | None) -> None:
    """Store a service and its API key in a file that only you can read, once the service took the key.

    The key is asked for in a terminal, else read from stdin: options can be seen by others. An empty key is none.
    FORGETCAST_URL and FORGETCAST_API_KEY go before what is stored.
    """
    from forgetcast.client.login import Login, save_login

    key = _read_key()
    with open_client(url, api_key=key) as client:
        try:
            check_key(client)
        except Unauthenticated as error:
            raise failure_of(error, then=REFUSED if key else NO_KEY) from error
        path = save_login(Login(client.url, key or None))
    say(f"{client.url}: {'the key is' if key else 'no key, the URL is'} stored in {path}")
    for name, stored in (("FORGETCAST_URL", client.url), ("FORGETCAST_API_KEY", key)):
        if (os.environ.get(name) or stored) != stored:
            note(f"{name} is set to something else and goes before it")


@click.command(epilog="Example: forgetcast logout")
def logout() -> None:
    """Delete what `forgetcast login` stored; the key itself stays valid until an operator revokes it."""
    from forgetcast.client.login import forget_login, login_file

    say(f"deleted {login_file()}" if forget_login() else "nobody is logged in")


def check_key(client: ForgetcastClient) -> None:
    """Raise Unauthenticated unless the service takes the client's key, whatever that key may do."""
    with contextlib.suppress(Forbidden):
        client.caller()


def _read_key() -> str:
    if sys.stdin.isatty():
        key: str = click.prompt("API key", default="", hide_input=True, show_default=False, err=True)
        return key.strip()
    return sys.stdin.readline().strip()

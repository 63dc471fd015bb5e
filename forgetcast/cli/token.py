"""`forgetcast token`: what a service without API keys asks for, for programs that are not `forgetcast`."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from forgetcast.cli.options import open_client, url_option
from forgetcast.cli.output import say


@click.command(epilog="Example: forgetcast token --url http://127.0.0.1:8737")
@url_option
def token(url: str | None) -> None:
    """Print the start-up token of the service on this machine, which it asks for while there are no API keys.

    Commands and the Python client send it by themselves; the page at /docs has to be given it, and
    curl by -H "Authorization: Bearer $(forgetcast token)".
    """
    from forgetcast.folders import state_folder
    from forgetcast.start_token import read_token

    with open_client(url) as client:
        port = urlsplit(client.url).port or 80
        found = read_token(port)
    if found is None:
        raise click.ClickException(
            f"{state_folder()} has no start-up token for port {port}: no service runs there, or it has API keys, or "
            f"another FORGETCAST_HOME"
        )
    say(found)

"""`forgetcast completion SHELL`: what makes a shell complete commands and options."""

from __future__ import annotations

from typing import Literal

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(epilog="Example: forgetcast completion bash")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(ctx: click.Context, shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print what makes SHELL complete commands and options.

    \b
    bash, zsh:  eval "$(forgetcast completion bash)" in ~/.bashrc, or zsh in ~/.zshrc
    fish:       forgetcast completion fish > ~/.config/fish/completions/forgetcast.fish
    """
    click.echo(SHELLS[shell](ctx.find_root().command, {}, "forgetcast", "_FORGETCAST_COMPLETE").source())

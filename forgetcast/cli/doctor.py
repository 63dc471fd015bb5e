"""`forgetcast doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict

import click

from forgetcast.cli.checks import Check, State, check_model, check_service, check_this_machine
from forgetcast.cli.failures import AuthenticationFailure
from forgetcast.cli.options import open_client, url_option
from forgetcast.cli.output import print_json, printable, say


@click.command(epilog="Example: forgetcast doctor --model smollm2-135m-instruct")
@url_option
@click.option(
    "--model",
    metavar="NAME",
    help="Look at one base model instead, registered in models.toml or a folder: whether its values are right and "
    "what fits here. Needs what a worker needs.",
)
@click.option("--json", "as_json", is_flag=True, help="A list of {name, state, said, next}.")
def doctor(url: str | None, model: str | None, as_json: bool) -> None:
    """Check the service, your key, its database, queue and workers, and this machine.

    Every line is ok, warn or fail, and says what to do. Exit 1 when something fails, 4 when it is the key.
    """
    if model is not None and url is not None:
        raise click.UsageError("--model looks at a folder of this machine and --url at a service; give one of them")
    if model is not None:
        checks = list(check_model(model))
    else:
        with open_client(url) as client:
            checks = [*check_service(client), *check_this_machine()]
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            _print(check)
    failed = [check.name for check in checks if check.state is State.FAIL]
    if failed:
        raise click.exceptions.Exit(AuthenticationFailure.exit_code if "key" in failed else 1)


def _print(check: Check) -> None:
    say(f"{check.state:<5} {check.name:<9} {printable(check.said)}")
    if check.next:
        say(f"{'':<15} -> {check.next}")

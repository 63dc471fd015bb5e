"""A click group whose commands are named as strings and imported when they are called."""

from __future__ import annotations

import difflib
import errno
import gc
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from types import ModuleType
from typing import IO, Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from forgetcast.cli.failures import failure_of
from forgetcast.cli.output import say
from forgetcast.errors import ForgetcastError

SERVER_PACKAGES = ("service", "workers", "bundled")
INTERRUPTED = 130


class Command(NamedTuple):
    """Where a command is (`module:name`) and what the list of commands says of it."""

    target: str
    summary: str


class RootGroup(click.Group):
    """The root of the command line: errors leave it as one line and an exit code."""

    def __init__(self, *, name: str, commands: Mapping[str, Command], help: str, epilog: str) -> None:
        super().__init__(name=name, help=help, epilog=epilog, context_settings={"help_option_names": ["-h", "--help"]})
        self._known = commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._known)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self._known.get(cmd_name)
        if known is None:
            return None
        command = imported(cmd_name, known.target)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in self._known.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._known and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self._known, n=1)
            hint = f"did you mean `forgetcast {near[0]}`?" if near else "`forgetcast --help` lists the commands"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands by what is said of them here, since importing all to ask them takes seconds."""
        found = [
            CompletionItem(name, help=known.summary)
            for name, known in self._known.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with (
            _errors_without_controls(),
            _system_errors_in_one_line(),
        ):  # --help and --version are written while options are read
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_without_controls():
            try:
                with _system_errors_in_one_line():
                    return super().invoke(ctx)
            except ForgetcastError as error:
                raise failure_of(error) from error
            except KeyboardInterrupt:
                say("interrupted", err=True)
                ctx.exit(INTERRUPTED)


class _Shown(click.ClickException):
    """An error whose message is printed as whatever it quotes deserves: a file's name is somebody's text."""

    def __init__(self, error: click.ClickException) -> None:
        super().__init__(error.format_message())
        self.exit_code = error.exit_code  # type: ignore[misc]  # of a class, says click; of an error, reads click
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:
        shown = StringIO()
        self._error.show(shown)
        say(shown.getvalue(), nl=False, err=True)


@contextmanager
def _errors_without_controls() -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        raise _Shown(error) from error


@contextmanager
def _system_errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:  # a pipe that was closed, which click ends quietly
            raise
        _let_go_of_a_full_stdout()
        said = error.strerror or str(error)
        raise click.ClickException(f"{error.filename}: {said}" if error.filename else said) from error


def _let_go_of_a_full_stdout() -> None:
    """What a full disk did not take is dropped: Python would write it again when it ends, and fail with a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def imported(name: str, target: str) -> Any:
    """What `target` (`module:name`) names, for the command `name`; says what to install where that is not here."""
    module_name, _, attribute = target.partition(":")
    try:
        module = _module(module_name)
    except ModuleNotFoundError as error:
        package = module_name.partition(".")[0]
        if package not in SERVER_PACKAGES:
            raise
        raise click.ClickException(_how_to_install(name, package, error.name)) from error
    return getattr(module, attribute)


def _module(name: str) -> ModuleType:
    """The module; what it defines is hidden from the collector of garbage, for it lasts as long as the process.

    Otherwise that looks through 300,000 objects again and again, and at the end once more: of the 1.7 s of processor
    time that `forgetcast migrate` took, half.
    """
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def _how_to_install(name: str, package: str, missing: str | None) -> str:
    brings = "workers" if package == "bundled" else package  # what is bundled runs on what a worker needs
    if missing is not None and missing.partition(".")[0] == package:
        return (
            f"`forgetcast {name}` is run from a checkout of the project (or its image) after "
            f"`pip install 'forgetcast[{brings}]'`; the package alone has the client"
        )
    return f"`forgetcast {name}` needs {missing}, which `pip install 'forgetcast[{brings}]'` brings"

"""An error as one readable line that says what to do next, and its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import click

from forgetcast import errors
from forgetcast.errors import FieldError, ForgetcastError


class AuthenticationFailure(click.ClickException):
    exit_code = 4


class UsageFailure(click.ClickException):
    exit_code = 2


class TimeoutFailure(click.ClickException):
    exit_code = 5


# Both tables may name a family: what is said of the error itself goes first.
FAILURES: dict[type[ForgetcastError], type[click.ClickException]] = {
    errors.AccessDenied: AuthenticationFailure,
    errors.InvalidRequest: UsageFailure,
    errors.OutOfRange: UsageFailure,
    errors.PolicyInvalid: UsageFailure,
    errors.UnknownMethod: UsageFailure,
    errors.UnknownReference: UsageFailure,
    errors.TooManyExamplesAsked: UsageFailure,
    errors.WaitTimedOut: TimeoutFailure,
}
SHOWN_FIELDS = 3

MORE_ROWS = (
    "`forgetcast seed` measures rows, `forgetcast measure TASK --full` makes a task one, `forgetcast matrix import` "
    "adds rows measured elsewhere"
)
# What to do next, where the message cannot know it.
NEXT: dict[type[ForgetcastError], str] = {
    errors.ServiceUnreachable: "`forgetcast up` starts one on this machine, --url or FORGETCAST_URL names another",
    errors.Unauthenticated: "store a key with `forgetcast login`; an operator makes one with `forgetcast key create`",
    errors.Forbidden: "ask an operator for a key with this scope (`forgetcast key create`)",
    errors.TaskNotFound: "`forgetcast task ls` lists what there is",
    errors.TaskExists: "`forgetcast measure TASK --size N` measures more of the one that is there",
    errors.MatrixNotFound: "`forgetcast matrix ls` lists what there is, `forgetcast init` begins one",
    errors.UpstreamSetNotFound: "`forgetcast upstream sample FILE` draws one from your data",
    errors.RowNotFound: "`forgetcast task ls` says which tasks are known rows",
    errors.JobNotFound: "`forgetcast measure TASK` orders one",
    errors.JobActive: "`forgetcast task wait TASK` waits for it, `forgetcast task cancel TASK` ends it",
    errors.UpstreamSetOpen: "`forgetcast upstream import FILE --id ID` sends its examples",
    errors.RecipeMismatch: "`forgetcast matrix show MATRIX` says what the matrix was measured with",
    errors.MatrixEmpty: MORE_ROWS,
    errors.TooFewRows: MORE_ROWS,
    errors.PolicyInvalid: "`forgetcast gate --preset` shows a policy, `--schema` its JSON Schema",
    errors.TextsMissing: (
        "`forgetcast replay TASK --texts FILE` joins texts that stayed with you, "
        "`forgetcast task create` registers a task whose cells you post"
    ),
    errors.NotMeasured: "`forgetcast task get TASK` shows its job",
    errors.FitPending: "try again in some seconds; a worker must be running (`forgetcast worker`)",
    errors.FitFailed: "`forgetcast doctor` says what to do; a new version of the rows is fitted anew",
    errors.JobFailed: "`forgetcast task events TASK` tells what happened, `forgetcast forecast FILE` tries again",
    errors.WaitTimedOut: "`forgetcast task wait TASK` goes on waiting",
    errors.TooManyJobs: "`forgetcast task wait TASK` waits for one of them",
    errors.TooManyRequests: "try again in some seconds",
    errors.RouteNotFound: "`forgetcast doctor` compares the versions of client and service",
    errors.UnexpectedAnswer: "`forgetcast doctor` compares the versions of client and service",
    errors.DatabaseUnavailable: "`forgetcast doctor` says what the service misses",
    errors.ModelsUnreadable: "mend it on the service's machine; no restart is needed",
    errors.Unavailable: "try again in some seconds",
    errors.ServiceFailure: "the service's log says more",
}

T = TypeVar("T")


@contextmanager
def blaming_the_file() -> Iterator[None]:
    """What the service finds wrong within a file that was sent is no mistake in how the command was called."""
    try:
        yield
    except errors.InvalidRequest as error:
        raise errors.BadDataset(str(error), errors=error.errors) from error


def failure_of(error: ForgetcastError, *, then: str | None = None) -> click.ClickException:
    """What click prints and exits with; `then` says what to do where a command knows better than NEXT."""
    message = _one_line(str(error))
    details = [_field(field) for field in error.errors if field.detail not in message]
    if details:
        more = f" and {len(details) - SHOWN_FIELDS} more" if len(details) > SHOWN_FIELDS else ""
        message += f" ({'; '.join(details[:SHOWN_FIELDS])}{more})"
    then = then or next_step(error)
    if then:
        message = f"{message.removesuffix('.')}; {then}"
    failure: type[click.ClickException] = _said_of(error, FAILURES, click.ClickException)
    return failure(message)


def next_step(error: ForgetcastError) -> str:
    """What to do about an error, where its message cannot know it; else empty."""
    return _said_of(error, NEXT, "")


def _said_of(error: ForgetcastError, table: Mapping[type[ForgetcastError], T], otherwise: T) -> T:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), otherwise)


def _field(field: FieldError) -> str:
    return _one_line(f"{field.pointer}: {field.detail}" if field.pointer else field.detail)


def _one_line(text: str) -> str:
    """Without line breaks, and without control characters that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))

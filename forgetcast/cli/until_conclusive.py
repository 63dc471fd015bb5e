"""`forgetcast measure TASK --until-conclusive`: measure, judge, and measure more, within the policy's looks."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetcast.cli.gate import exit_code, report_of
from forgetcast.cli.gate_table import print_verdict
from forgetcast.cli.output import note, print_json, say
from forgetcast.cli.progress import follow_progress

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.gate.looks import NextLook
    from forgetcast.schemas import Gate, JobCreate


def measure_until_conclusive(
    client: ForgetcastClient,
    task_id: str,
    policy_file: Path,
    *,
    timeout: timedelta | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """The exit code of the last verdict, which is printed; each look is counted by the service.

    Raises
    ------
    PolicyInvalid ; whatever ordering, waiting and judging raise
    """
    from forgetcast.gate.looks import next_look, of_candidate
    from forgetcast.gate.policy_files import read_policy

    policy = read_policy(policy_file)
    tell: Callable[[str], None] = (lambda message: None) if quiet else note
    n_examples = client.matrices.get(client.tasks.get(task_id).task.matrix).n_examples or 0
    while True:
        kept = client.tasks.gate(task_id, policy)
        tell(f"look {kept.look} of {policy.max_looks}: {kept.verdict.verdict}")
        n_measured = client.tasks.get(task_id).task.n_measured
        wanted = next_look(kept.verdict, n_measured, n_examples)
        if not isinstance(wanted, str) and of_candidate(kept.verdict):
            wanted = _by_hand(task_id, wanted)
        if isinstance(wanted, str):
            tell(f"nothing more is measured: {wanted}")
            break
        _measure(client, task_id, wanted, n_measured, tell, timeout=timeout, quiet=quiet)
    return _print(kept, policy_file, as_json=as_json, quiet=quiet)


def _by_hand(task_id: str, wanted: NextLook) -> str:
    """What a worker cannot measure, for it does not have these weights."""
    named = shlex.quote(task_id)
    command = f"forgetcast score {named} --weights FOLDER"
    if wanted.example_ids:
        command = f"forgetcast gate {named} --policy FILE -q | {command} --examples -"
    else:
        command += f" --size {wanted.size}{' --design random' if wanted.at_random else ''}"
    return f"the cells are of weights that were posted, which no worker has; `{command}` goes on"


def _measure(
    client: ForgetcastClient,
    task_id: str,
    wanted: NextLook,
    n_measured: int,
    tell: Callable[[str], None],
    *,
    timeout: timedelta | None,
    quiet: bool,
) -> None:
    if wanted.example_ids:
        tell(f"{len(wanted.example_ids)} examples are measured that the policy protects")
    else:
        tell(f"{wanted.size - n_measured} more examples are measured{' at random' if wanted.at_random else ''}")
    job = client.tasks.create_job(task_id, _order(wanted))
    for warning in job.warnings:
        tell(f"warning: {warning}")
    from forgetcast.cli.submission import leave_running

    with leave_running(task_id), follow_progress(quiet=quiet) as show:
        client.tasks.get(task_id).wait(timeout=timeout, on_event=show)


def _order(wanted: NextLook) -> JobCreate:
    from forgetcast.client.connection import made
    from forgetcast.schemas import JobCreate

    if wanted.example_ids:
        return made(JobCreate, measure="examples", examples=list(wanted.example_ids))
    design: dict[str, Any] = {"design": "random"} if wanted.at_random else {}
    return made(JobCreate, measure="probe", size=wanted.size, **design)


def _print(kept: Gate, policy_file: Path, *, as_json: bool, quiet: bool) -> int:
    report = report_of(kept, policy_file)
    if as_json:
        print_json(kept)
    elif quiet:
        say(str(kept.verdict.verdict))
    else:
        print_verdict(report)
    return exit_code(report)

"""`forgetcast gate TASK --policy FILE`: may this model be released?"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast import errors, strict_json
from forgetcast.cli.failures import failure_of
from forgetcast.cli.gate_table import print_explanation, print_verdict
from forgetcast.cli.gate_task import Judged
from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.cli.options import duration, open_client, service_options
from forgetcast.cli.output import note, print_json, say, say_json
from forgetcast.errors import BadDataset, ForgetcastError

if TYPE_CHECKING:
    from forgetcast.gate.policy import Policy
    from forgetcast.gate.reports.wording import GateReport
    from forgetcast.schemas import Gate

# The service is away, or broken: nothing is known of the model.
UNAVAILABLE = (errors.Unavailable, errors.ServiceFailure)
VERDICT_ERROR, FAIL, INCONCLUSIVE = 1, 3, 6

EXAMPLES = """\b
Exit codes: 0 pass, warn and inconclusive (6 under --strict), 3 fail, 1 verdict error or no service, 2 a policy that
cannot be read, 4 authentication, 5 timeout.
\b
Examples:
  forgetcast gate --preset > forgetting.yml
  forgetcast gate my-task --policy forgetting.yml --junit gate.xml
  forgetcast gate my-task --policy forgetting.yml --from cells.jsonl
  forgetcast gate --dataset train.jsonl --matrix smollm2-135m --policy forgetting.yml --wait
"""


def _print_and_end(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from forgetcast.gate.policy_files import json_schema, preset

    if parameter.name == "preset":
        say(preset(), nl=False)
    else:
        say_json(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    context.exit()


@click.command(epilog=EXAMPLES)
@click.argument("task", required=False)
@click.option("--policy", "policy_file", required=True, type=click.Path(path_type=Path), help="YAML or JSON.")
@click.option(
    "--dataset",
    type=INPUT_FILE,
    metavar="FILE",
    help="Judge the task of these fine-tuning data, which is submitted if it is not there; TASK is its id then.",
)
@click.option("--matrix", metavar="ID", help="With --dataset: to forecast in; needed when the service has several.")
@click.option("--size", type=click.IntRange(1), help="With --dataset: upstream examples to measure.  [default: 30]")
@click.option("--wait", is_flag=True, help="Wait until the task is measured.")
@click.option("--timeout", type=duration, help="With --wait: give up after 90s, 10m or 2h (exit 5); the job goes on.")
@click.option(
    "--from",
    "cells",
    type=INPUT_FILE,
    metavar="FILE",
    help='Judge this finished evaluation, without a service: every {"example_id", "before", "after"} or {"example_id", '
    '"forgetting"}, one a line, perhaps with "domain" and "tags"; - is stdin.',
)
@click.option("--baseline-from", type=INPUT_FILE, metavar="FILE", help="With --from: the same of the released model.")
@click.option("--first-release", is_flag=True, help="Pass where there is no baseline to compare with yet.")
@click.option(
    "--replay",
    type=INPUT_FILE,
    metavar="FILE",
    help='What was mixed into the training, as `forgetcast replay` wrote it: {"id"} or an id a line.',
)
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML, a test case an assertion.")
@click.option("--summary", type=click.Path(path_type=Path), help="Append Markdown to this file.")
@click.option("--github", is_flag=True, help="Annotations on stdout, outputs and summary into a GitHub job's files.")
@click.option("--strict", is_flag=True, help="Inconclusive is exit code 6.")
@click.option(
    "--on-unavailable",
    type=click.Choice(["fail", "warn"]),
    default="fail",
    show_default=True,
    help="Without the service: exit code 1, or a warning and 0.",
)
@click.option("--exit-zero", is_flag=True, help="Exit 0 instead of 3 and 6; 1, 2, 4 and 5 stay.")
@click.option("--explain", is_flag=True, help="Also which cells and probes carry each assertion.")
@click.option("--preset", is_flag=True, is_eager=True, expose_value=False, callback=_print_and_end, help="A policy.")
@click.option(
    "--schema",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_and_end,
    help="JSON Schema of policies.",
)
@service_options
def gate(
    task: str | None,
    policy_file: Path,
    dataset: Path | None,
    matrix: str | None,
    size: int | None,
    wait: bool,
    timeout: timedelta | None,
    cells: Path | None,
    baseline_from: Path | None,
    first_release: bool,
    replay: Path | None,
    junit: Path | None,
    summary: Path | None,
    github: bool,
    strict: bool,
    on_unavailable: str,
    exit_zero: bool,
    explain: bool,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Judge TASK by a policy: will its model forget what it must not forget?

    It fails only where the forecast's interval lies over a limit, passes only where it lies under it, and says else
    what to measure next. -q prints the ids of those examples alone.
    """
    from forgetcast.gate.policy_files import read_policy

    if baseline_from is not None and cells is None:
        raise click.UsageError("--baseline-from goes with --from; a task's baseline is named in the policy")
    if replay is not None and cells is not None:
        raise click.UsageError("--replay is for a task that is judged by a forecast, not for --from")
    if cells is not None and (dataset is not None or wait):
        raise click.UsageError("--dataset and --wait are for a task of a service, not for --from")
    if dataset is None and (matrix is not None or size is not None):
        raise click.UsageError(f"{'--matrix' if matrix is not None else '--size'} goes with --dataset")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    if task is None and dataset is None:
        raise click.UsageError("name a TASK, or its data by --dataset")
    policy = read_policy(policy_file)
    judged = Judged(task, dataset, matrix, size or 30, wait=wait, timeout=timeout, quiet=quiet)
    name = task or shown_name(dataset or Path())
    try:
        if cells is not None:
            report, document = _of_file(name, policy_file, policy, cells, baseline_from, first_release)
        else:
            report, document = _of_service(judged, policy_file, policy, url, first_release, replay)
    except ForgetcastError as error:
        report = _without_verdict(name, policy_file, policy, error)
        _write(report, junit, summary, github=github)
        if isinstance(error, UNAVAILABLE) and not isinstance(error, errors.WaitTimedOut) and on_unavailable == "warn":
            note(f"warning: nothing was judged: {report.problem}")
            return
        raise
    _write(report, junit, summary, github=github)
    if as_json:
        print_json(document)
    elif quiet:
        _print_ids(report)
    else:
        print_verdict(report)
        if explain:
            print_explanation(report)
    click.get_current_context().exit(exit_code(report, strict=strict, exit_zero=exit_zero))


def _of_file(
    task: str, policy_file: Path, policy: Policy, cells: Path, baseline: Path | None, first_release: bool
) -> tuple[GateReport, dict[str, Any]]:
    from dataclasses import asdict

    from forgetcast.cli.gate_finished import judge_finished
    from forgetcast.gate.reports.wording import GateReport

    verdict = judge_finished(policy, cells, baseline, first_release=first_release)
    report = GateReport(
        task,
        str(policy_file),
        verdict,
        policy_sha256=policy.sha256,
        rests_on=f"cells of {shown_name(cells)}",
        finished=True,
    )
    document = {
        "object": "gate",
        "task": task,
        "policy": policy.model_dump(mode="json"),
        "policy_sha256": policy.sha256,
        "first_release": first_release,
        "verdict": asdict(verdict),
    }
    return report, document


def _of_service(
    judged: Judged, policy_file: Path, policy: Policy, url: str | None, first_release: bool, replay: Path | None
) -> tuple[GateReport, Any]:
    replay_ids = [] if replay is None else _replayed(replay)
    with open_client(url) as client:
        task = judged.measured(client)
        kept = client.tasks.gate(task, policy, first_release=first_release, replay_ids=replay_ids)
    return report_of(kept, policy_file), kept


def report_of(kept: Gate, policy_file: Path) -> GateReport:
    """What is printed of a verdict that the service keeps."""
    from forgetcast.gate.reports.wording import GateReport

    versions = f"matrix {kept.matrix} version {kept.matrix_version}, row version {kept.row_version}"
    weights = "" if kept.weights_sha256 is None else f", weights {kept.weights_sha256[:12]}"
    return GateReport(
        kept.task,
        str(policy_file),
        kept.verdict,
        policy_sha256=kept.policy_sha256,
        gate_id=kept.id,
        rests_on=versions + weights,
    )


def _replayed(path: Path) -> list[str]:
    """Ids of a replay set's file. Raises BadDataset."""
    found: dict[str, None] = {}
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            name = strict_json.load(line)["id"] if line.lstrip().startswith("{") else line.strip()
        except (ValueError, KeyError) as error:
            raise BadDataset(f"{shown_name(path)}, line {number} has no id of an upstream example") from error
        found[str(name)] = None
    return list(found)


def _without_verdict(task: str, policy_file: Path, policy: Policy, error: ForgetcastError) -> GateReport:
    from forgetcast.gate.reports.wording import GateReport

    message = failure_of(error).format_message()
    return GateReport(task, str(policy_file), None, policy_sha256=policy.sha256, problem=message)


def _write(report: GateReport, junit: Path | None, summary: Path | None, *, github: bool) -> None:
    """The files that were asked for; a job's own by the names that GitHub gives them."""
    from forgetcast.gate.reports import github as for_github
    from forgetcast.gate.reports.junit import junit as junit_xml
    from forgetcast.gate.reports.markdown import summary as markdown

    if junit is not None:
        junit.write_text(junit_xml(report), encoding="utf-8")
    summaries = [summary, _file_of_job("GITHUB_STEP_SUMMARY") if github else None]
    for path in dict.fromkeys(path for path in summaries if path is not None):
        _append(path, markdown(report))
    if github:
        for line in for_github.workflow_commands(report):
            say(line)
        outputs = _file_of_job("GITHUB_OUTPUT")
        if outputs is not None:
            _append(outputs, for_github.outputs(report))


def _file_of_job(variable: str) -> Path | None:
    name = os.environ.get(variable)
    return Path(name) if name else None


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def _print_ids(report: GateReport) -> None:
    from forgetcast.gate.reports.wording import ids_to_measure

    say("".join(f"{name}\n" for name in ids_to_measure(report)), nl=False)


def exit_code(report: GateReport, *, strict: bool = False, exit_zero: bool = False) -> int:
    """Of the command that printed this verdict."""
    from forgetcast.gate.verdict import Result

    if report.result == Result.ERROR:
        return VERDICT_ERROR
    if exit_zero:
        return 0
    if report.result == Result.FAIL:
        return FAIL
    return INCONCLUSIVE if strict and report.result == Result.INCONCLUSIVE else 0

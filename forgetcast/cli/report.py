"""What a forecast says, printed: most forgotten examples, domains, what it rests on, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetcast.cli.output import first_words, print_table, say
from forgetcast.cli.progress import PHASES
from forgetcast.cli.trust import limits, print_quality, print_trust

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle
    from forgetcast.schemas import (
        Average,
        DomainAverage,
        Forecast,
        Forgotten,
        ForgottenExample,
        Job,
        ReplayExample,
        UpstreamExample,
    )

READ_WHOLE = 5_000  # upstream examples up to which the set is read for the first words


@dataclass(frozen=True)
class Report:
    """Everything that is printed of one task; `words` are first words by example id, where the texts are known."""

    task_id: str
    job: Job | None
    forecast: Forecast
    forgotten: Forgotten
    words: dict[str, str]


def read_report(client: ForgetcastClient, task: TaskHandle, job: Job | None, top: int) -> Report:
    forecast, forgotten = task.forecast(), task.forgotten(top)
    words = read_words(client, task.id, forgotten)
    return Report(task.id, job, forecast, forgotten, words)


def read_words(client: ForgetcastClient, task_id: str, forgotten: Forgotten) -> dict[str, str]:
    """First words of the forgotten examples' answers; none for a text that stayed with its owner."""
    upstream_set = client.upstream_sets.get(client.matrices.get(forgotten.matrix).upstream_set)
    wanted = {example.example_id for example in forgotten.data}
    words: dict[str, str] = {}
    if (upstream_set.n_examples or 0) <= READ_WHOLE:
        for example in client.upstream_sets.examples(upstream_set.id):
            if example.id in wanted:
                words[example.id] = _answer(example)
            if len(words) == len(wanted):
                break
    elif wanted:
        # One small answer instead of a large set; only held-out examples have no place in it.
        drawn = client.tasks.replay_set(task_id, size=len(wanted), strategy="top")
        words = {one.id: _answer(one) for one in drawn.data if one.id in wanted}
    return words


def print_report(report: Report) -> None:
    forecast = report.forecast
    print_trust(limits(forecast))
    heading(most_forgotten(report.task_id, report.forgotten.level))
    print_forgotten(report.forgotten.data, report.words)
    heading("Forgetting by domain")
    print_averages(
        forecast.domains,
        forecast.row_mean,
        forecast.mean_interval,
        forecast.n_examples,
        forecast.n_measured,
        unlike_known=forecast.unlike_known,
    )
    print_grounds(_grounds(forecast))
    if forecast.quality is not None:
        print_quality(forecast.quality)
    if report.job is not None:
        heading("Time")
        say(f"  {_times(report.job)}")


def most_forgotten(task: str, level: float) -> str:
    """The heading above the most forgotten examples."""
    return f"Most forgotten under {task} (nats per token, {100 * level:g}% interval)"


def print_forgotten(examples: Sequence[ForgottenExample], words: dict[str, str]) -> None:
    """The table of the most forgotten examples; `words` are first words by id, where there are texts."""
    about = {
        "domain": [example.domain for example in examples],
        "first words": [words.get(example.example_id, "") for example in examples],
    }
    known = {name: column for name, column in about.items() if any(column)}
    headings = ["", "example", *known, "forgetting", "interval", ""]
    columns = zip(examples, *known.values(), strict=True)
    rows = [(str(one.place), one.example_id, *about_it, *_forgetting(one)) for one, *about_it in columns]
    print_table(headings, rows, to_the_right=["", "forgetting"])


def _forgetting(example: ForgottenExample) -> tuple[str, str, str]:
    how = "measured" if example.measured else "predicted"
    interval = "" if example.measured else _interval(example.low, example.high)
    how += "" if example.calibrated or example.measured else ", not calibrated"
    return f"{example.forgetting:+.3f}", interval, how


def print_averages(
    domains: Sequence[DomainAverage],
    row_mean: Average,
    mean_interval: Average | None,
    n_examples: int,
    n_measured: int,
    *,
    unlike_known: bool | None,
) -> None:
    """The table of domains and of the whole row.

    Of a row that may be unlike the known ones it also shows what holds whatever the model gets wrong.
    """
    rows = [
        (one.domain or "(none)", *_average(one), str(one.n_examples), str(one.n_measured), _in_short(one.mean_interval))
        for one in domains
    ]
    rows.append(("all", *_average(row_mean), str(n_examples), str(n_measured), _in_short(mean_interval)))
    headings = ["domain", "mean", "interval", "examples", "measured"]
    if unlike_known is not False and any(row[-1] for row in rows):
        headings.append("by random probes alone")
    print_table(headings, [row[: len(headings)] for row in rows], to_the_right=["mean", "examples", "measured"])


def print_grounds(lines: Sequence[str]) -> None:
    """What a forecast rests on, a line each."""
    heading("What this rests on")
    for line in lines:
        say(f"  {line}")


def _average(average: Average) -> tuple[str, str]:
    return f"{average.mean:+.3f}", _interval(average.low, average.high)


def _in_short(average: Average | None) -> str:
    return "" if average is None else ", ".join(_average(average))


def _grounds(forecast: Forecast) -> list[str]:
    return [
        f"M = {forecast.n_tasks} known tasks, N = {forecast.n_examples} upstream examples, "
        f"S = {forecast.n_measured} of them measured after fine-tuning on this task",
        f"method {forecast.method} on matrix {forecast.matrix}, version {forecast.matrix_version}",
    ]


def _times(job: Job) -> str:
    parts = [f"{PHASES.get(phase, phase)} {seconds:.1f} s" for phase, seconds in (job.seconds or {}).items()]
    if job.started_at is not None:
        parts.insert(0, f"queued {(job.started_at - job.created_at).total_seconds():.1f} s")
    if job.finished_at is not None:
        parts.append(f"in all {(job.finished_at - job.created_at).total_seconds():.1f} s")
    return ", ".join(parts)


def _answer(example: UpstreamExample | ReplayExample) -> str:
    """First words of what the model answered, or of the text where there is no answer."""
    if example.messages:
        replies = [message.content for message in example.messages if message.role == "assistant"]
        return first_words((replies or [message.content for message in example.messages])[-1])
    return first_words(example.text or "")


def _interval(low: float, high: float) -> str:
    return f"{low:+.3f} to {high:+.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def heading(text: str) -> None:
    """An empty line and a line above a table."""
    say(f"\n{text}")

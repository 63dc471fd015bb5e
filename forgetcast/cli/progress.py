"""A job followed on stderr: a bar in a terminal, a line per event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from forgetcast.cli.output import console, note, printable

if TYPE_CHECKING:
    from forgetcast.schemas import Event, Progress

PHASES = {
    "load": "load the model",
    "examine": "examine the model",
    "base": "measure before",
    "fine_tune": "fine-tune",
    "keep": "keep the weights",
    "measure": "measure after",
}


@contextmanager
def follow_progress(*, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Where events go while a job is waited for."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _Lines().show


@contextmanager
def _bar() -> Iterator[Callable[[Event], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description:<17}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        shown = bar.add_task("queued", total=None, loss="", left="")

        def show(event: Event) -> None:
            at = progress_of(event)
            if at is None:
                bar.console.print(printable(event.message))
                return
            bar.update(
                shown,
                description=PHASES.get(at.phase) or printable(at.phase),
                completed=at.step,
                total=at.total,
                loss="" if at.loss is None else f"loss {at.loss:.3f}",
                left="" if at.eta_s is None else f"{at.eta_s:.0f} s left",
            )

        yield show


class _Lines:
    """One line a message, and of a phase its beginning and its quarters: a log needs no more."""

    def __init__(self) -> None:
        self._quarter: tuple[str, int] | None = None

    def show(self, event: Event) -> None:
        at = progress_of(event)
        if at is None:
            note(printable(event.message))
            return
        quarter = (at.phase, 4 * at.step // max(at.total, 1))
        if quarter != self._quarter:
            self._quarter = quarter
            note(describe(at))


def progress_of(event: Event) -> Progress | None:
    """Where the attempt stands; None for an event that is a message."""
    from forgetcast.schemas import Progress

    if event.type != "progress" or "phase" not in event.data:
        return None
    data = event.data
    return Progress(
        phase=str(data["phase"]),
        step=int(data.get("step") or 0),
        total=int(data.get("total") or 0),
        loss=data.get("loss"),
        eta_s=data.get("eta_s"),
    )


def describe(at: Progress) -> str:
    """Phase, step, loss and time left on one line."""
    parts = [f"{PHASES.get(at.phase, at.phase)}: {at.step} of {at.total}"]
    parts += [] if at.loss is None else [f"loss {at.loss:.3f}"]
    parts += [] if not at.eta_s else [f"{at.eta_s:.0f} s left"]
    return ", ".join(parts)

"""A job followed: a bar in a terminal, a few lines in a log."""

from __future__ import annotations

import io

import pytest

from forgetcast.cli.progress import follow_progress
from forgetcast.schemas import Event
from tests.client.answers import an_event


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(*events) -> None:
    with follow_progress() as on_event:
        for event in events:
            on_event(Event.model_validate(event))


def in_terminal(monkeypatch: pytest.MonkeyPatch, *events) -> str:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    show(*events)
    return terminal.getvalue()


def test_a_terminal_shows_phase_step_loss_and_time_left(monkeypatch):
    shown = in_terminal(monkeypatch, an_event(1, phase="fine_tune", step=3, total=12, loss=2.5, eta_s=9.4))
    for part in ("fine-tune", "3/12", "loss 2.500", "9 s left"):
        assert part in shown


def test_a_message_stays_above_the_bar(monkeypatch):
    left_out = an_event(1, "2 of 160 lines are left out")
    assert "2 of 160 lines are left out" in in_terminal(
        monkeypatch, left_out, an_event(2, phase="load", step=0, total=1)
    )


def test_a_log_gets_a_line_a_quarter_of_each_phase(capsys):
    show(*[an_event(step, phase="measure", step=step, total=100) for step in range(1, 101)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "measure after: 1 of 100"
    assert lines[-1] == "measure after: 100 of 100"
    assert len(lines) == 5


def test_a_phase_that_is_not_known_here_is_shown_by_its_name(capsys):
    show(an_event(1, phase="polish", step=1, total=2))
    assert capsys.readouterr().err == "polish: 1 of 2\n"


def test_a_message_cannot_steer_the_terminal(capsys):
    show(an_event(1, "a\x1b[2Jb"))
    assert "\x1b" not in capsys.readouterr().err

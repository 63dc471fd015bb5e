"""What is printed: nothing a terminal would obey, nothing cut or coloured in a pipe."""

from __future__ import annotations

from forgetcast.cli.output import first_words, print_table, printable


def test_a_pipe_gets_no_colours_and_no_cut_lines(capsys):
    long = "x" * 500
    print_table(["id", "number"], [(long, "1")], to_the_right=["number"])
    shown = capsys.readouterr().out
    assert long in shown
    assert "\x1b" not in shown


def test_no_line_ends_in_spaces(capsys):
    print_table(["a", "b"], [("1", "long"), ("2", "")])
    assert all(line == line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_brackets_and_colons_in_an_id_stay_as_they_are(capsys):
    print_table(["id"], [("[bold]:smile:[/bold]",)])
    assert "[bold]:smile:[/bold]" in capsys.readouterr().out


def test_other_peoples_text_cannot_steer_the_terminal():
    assert printable("a\x1b[31mb\u202ec") == "a\ufffd[31mb\ufffdc"


def test_first_words_end_between_words():
    assert first_words("one two  three\nfour", 14) == "one two three…"
    assert first_words("short") == "short"
    assert first_words("x" * 100, 10) == "x" * 9 + "…"

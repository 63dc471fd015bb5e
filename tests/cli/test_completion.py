"""Shell completion: what the shell is told, and that it costs no imports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_lines(run, shell):
    shown = run("completion", shell).stdout
    assert "_FORGETCAST_COMPLETE" in shown and "forgetcast" in shown


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("forgetcast fo", ["plain,forecast", "plain,forgotten"]),
        ("forgetcast task ca", ["plain,cancel"]),
        ("forgetcast replay t --min", ["plain,--min-per-domain"]),
        ("forgetcast replay t --strategy u", ["plain,uniform"]),
    ],
)
def test_words_are_completed_without_loading_more_than_click(words, completed):
    code = (
        "import sys\nfrom forgetcast.cli import main\n"
        "try:\n    main(prog_name='forgetcast')\n"
        "finally:\n    assert not sys.modules.keys() & {'httpx2', 'pydantic', 'rich', 'numpy', 'service'}"
    )
    asked = {
        "_FORGETCAST_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert done.stdout.splitlines() == completed, done.stderr

"""What the README promises is there: every setting, every problem, every file of the map."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from forgetcast.cli import main
from service.api.problems import STATUS
from service.operations.job_errors import JOB_ERRORS
from service.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_readme() -> None:
    for name in Settings.model_fields:
        assert f"`FORGETCAST_{name.upper()}`" in README


def test_every_problem_is_in_the_readme_with_its_status() -> None:
    for kind, status in STATUS.items():
        assert re.search(rf"^\| `{kind.code}` \| ({status}|client) \|", README, re.MULTILINE), kind.code


def test_every_error_of_a_job_is_in_the_readme_with_its_retry_and_hint() -> None:
    for code, kind in JOB_ERRORS.items():
        assert f"| `{code}` | {kind.retry} | {kind.hint} |" in README, code


def test_the_table_of_commands_has_every_command_and_no_other() -> None:
    table = README.partition("### Command line\n")[2].partition("\n### ")[0]
    first_cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    named = [entry for cell in first_cells for entry in re.findall(r"`([^`]+)`", cell) if not entry.startswith("-")]
    commands = set(_commands())
    described = {next((path for path in commands if f"{entry} ".startswith(f"{path} ")), entry) for entry in named}
    assert described == commands


def _commands() -> Iterator[str]:
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        parts = command.list_commands(context) if isinstance(command, click.Group) else []
        yield from (f"{name} {part}" for part in parts) if parts else [name]


def test_every_file_on_the_map_exists() -> None:
    text = (ROOT / "service" / "README.md").read_text(encoding="utf-8")
    block = text.partition("```text\n")[2].partition("```")[0]
    folder, n_paths = Path(), 0
    for line in block.splitlines():
        indented, names = line.startswith("  "), re.split(r"  +", line.strip())[0]
        for name in names.split(", "):
            path = folder / name if indented else Path(name)
            assert (ROOT / path).exists(), path
            n_paths += 1
        if not indented:
            folder = Path(names)
    assert n_paths > 15

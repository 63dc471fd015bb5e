"""A replay set as files: replay.jsonl for the trainer, manifest.json for who asks later what it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forgetcast.schemas import ReplaySet


def replay_lines(replay_set: ReplaySet) -> str:
    """One JSON object a line, the most weighty first."""
    return "".join(f"{example.model_dump_json(exclude_none=True)}\n" for example in replay_set.data)


def write_replay_set(replay_set: ReplaySet, folder: Path) -> None:
    """Write both files, each in one rename and the manifest last: what it names is there."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "replay.jsonl", replay_lines(replay_set))
    _write(folder / "manifest.json", replay_set.manifest.model_dump_json(indent=2) + "\n")


def _write(path: Path, content: str) -> None:
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(content, encoding="utf-8")
    scratch.replace(path)

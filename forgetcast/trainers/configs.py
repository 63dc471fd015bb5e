"""A replay set as files of one of today's trainers: the rows, and the lines of its config that name them.

The file of rows has the sha256 of its bytes in its name: Axolotl's cache of prepared data looks at names and not
inside, and would train on the rows of an earlier set. Rows stand in the order of their weight, for LLaMA-Factory's
`max_samples` keeps the first ones. Written for TRL 1.16, Axolotl 0.19 and LLaMA-Factory 0.9.5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from forgetcast.client import ReplaySet
from forgetcast.client.connection import is_parquet
from forgetcast.errors import BadDataset
from forgetcast.trainers.rows import rows_in, task_layout, task_rows, with_columns
from forgetcast.trainers.task_layout import CHAT, TaskLayout, layout_named

NAME_DIGITS = 16  # of the sha256
NAME = "forgetcast-replay"
YOURS = "your-task.jsonl"


class Trainer(StrEnum):
    TRL = "trl"
    AXOLOTL = "axolotl"
    LLAMA_FACTORY = "llamafactory"


def write_for(
    trainer: Trainer, drawn: ReplaySet, folder: Path, *, layout: TaskLayout | None = None, like: Path | None = None
) -> list[Path]:
    """Write rows, manifest and config into a folder; the paths, the config last.

    Parameters
    ----------
    layout : of the task, for TRL, which joins columns by name; the others convert each set and get messages
    like : the task's file, whose layout, columns and types the rows of TRL get

    Raises
    ------
    TextsMissing, InvalidRequest, BadDataset
    """
    chosen = layout_named(CHAT)
    if trainer is Trainer.TRL:
        chosen = task_layout(task_rows(like)) if like is not None else layout or chosen
    rows = write_rows(drawn, folder, chosen, like if trainer is Trainer.TRL else None)
    manifest = folder / "manifest.json"
    if trainer is Trainer.TRL:
        config = _replace(folder / "trl.yaml", _trl(rows, chosen, like))
    elif trainer is Trainer.AXOLOTL:
        config = _replace(folder / "axolotl.yaml", _axolotl(rows))
    else:
        info = _dataset_info(folder, rows)
        return [rows, manifest, info, _replace(folder / "llamafactory.yaml", _llama_factory(folder, rows))]
    return [rows, manifest, config]


def write_rows(drawn: ReplaySet, folder: Path, layout: TaskLayout, like: Path | None = None) -> Path:
    """Write the rows of a layout and the manifest, last, into a folder; the path of the rows.

    With `like` they are Parquet, which alone keeps the types of the task's columns; else JSON Lines.

    Raises
    ------
    TextsMissing, InvalidRequest, BadDataset
    """
    folder.mkdir(parents=True, exist_ok=True)
    beside: dict[str, Sequence[Any]] = {"id": drawn.ids, "weight": [example.weight for example in drawn.data]}
    if like is not None:
        scratch = folder / ".replay.parquet.tmp"
        with_columns(rows_in(drawn.data, layout, task_rows(like)), beside).to_parquet(str(scratch))
        content, ending = scratch.read_bytes(), "parquet"
        scratch.unlink()
    else:
        content, ending = "".join(lines(drawn, layout)).encode(), "jsonl"
    digest = hashlib.sha256(content).hexdigest()
    path = _replace(folder / f"replay-{digest[:NAME_DIGITS]}.{ending}", content)
    manifest = drawn.manifest.model_copy(update={"format": layout.name, "body_sha256": digest})
    _replace(folder / "manifest.json", f"{manifest.model_dump_json(indent=2)}\n".encode())
    return path


def lines(drawn: ReplaySet, layout: TaskLayout) -> list[str]:
    """One line of JSON an example, its id first and its weight last. Raises TextsMissing, InvalidRequest."""
    return [f"{_json({'id': one.id, **layout.record(one), 'weight': one.weight})}\n" for one in drawn.data]


def _trl(rows: Path, layout: TaskLayout, like: Path | None) -> bytes:
    """TRL's `datasets:`. Columns are named for both sets, else id and weight are null columns of the task's rows."""
    columns = ", ".join(map(json.dumps, layout.columns))
    task = YOURS if like is None else str(like.resolve())
    return "\n".join(
        [
            "# For TRL's scripts: --config, or these lines in yours. Use neither `test_split_size`, which would put",
            "# replayed rows into the test split, nor `fraction`, which would cut your task.",
            "datasets:",
            *_trl_set(task, "parquet" if like is not None and is_parquet(like) else "json", columns),
            *_trl_set(str(rows.resolve()), "parquet" if rows.suffix == ".parquet" else "json", columns),
            "",
        ]
    ).encode()


def _trl_set(file: str, kind: str, columns: str) -> Sequence[str]:
    return [f"  - path: {kind}", f"    data_files: {_json(file)}", "    split: train", f"    columns: [{columns}]"]


def _axolotl(rows: Path) -> bytes:
    """An entry of Axolotl's `datasets:`. No `weight`: there it makes a set smaller."""
    return "\n".join(
        [
            "# Beside your own entry of `datasets:`. Without the shuffle, or with curriculum_sampling, all replayed",
            "# rows would come last.",
            "datasets:",
            f"  - path: {_json(str(rows.resolve()))}",
            "    ds_type: json",
            "    type: chat_template",
            "    field_messages: messages",
            "    message_property_mappings:",
            "      role: role",
            "      content: content",
            '    roles_to_train: ["assistant"]',
            "shuffle_merged_datasets: true",
            "",
        ]
    ).encode()


def _dataset_info(folder: Path, rows: Path) -> Path:
    """LLaMA-Factory's dataset_info.json with an entry more; what is in it already stays.

    The tags are said because those of `formatting: openai` are from, value, human and gpt by default.
    """
    path = folder / "dataset_info.json"
    try:
        info: Any = json.loads(path.read_bytes()) if path.exists() else {}
    except ValueError as error:
        raise BadDataset(f"{path} is there and is not JSON ({error}); it was not changed") from error
    if not isinstance(info, dict):
        raise BadDataset(f"{path} is there and is no JSON object; it was not changed")
    info[_name(rows)] = {
        "file_name": rows.name,
        "formatting": "openai",
        "columns": {"messages": "messages"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
    return _replace(path, f"{json.dumps(info, indent=2, ensure_ascii=False)}\n".encode())


def _llama_factory(folder: Path, rows: Path) -> bytes:
    return "\n".join(
        [
            "# Put the name of your own data set before the comma, with its entry in dataset_info.json. `max_samples`",
            "# would keep the first rows of both sets, `val_size` would put replayed rows into the evaluation.",
            f"dataset_dir: {_json(str(folder.resolve()))}",
            f"dataset: your-task,{_name(rows)}",
            "mix_strategy: concat",
            "",
        ]
    ).encode()


def _name(rows: Path) -> str:
    """Of the data set: LLaMA-Factory's cache, too, goes by the name."""
    return f"{NAME}-{rows.stem.removeprefix('replay-')}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _replace(path: Path, content: bytes) -> Path:
    """Write a file that appears in one step."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_bytes(content)
    scratch.replace(path)
    return path

"""What docs/replay shows runs as printed, in order, page by page, against a service and a tiny model."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from forgetcast import ForgetcastClient
from forgetcast.schemas import Cell, MeasurementsCreate
from tests.trainers.runs import RECIPE, SETTING, TASK, UPSTREAM
from tests.trainers.world import live_service
from tests.workers.language_models import character_tokenizer, tiny_llama

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "replay").glob("*.md"))
FENCED = re.compile(r"^```(\w+)\n(.+?)^```$", re.DOTALL | re.MULTILINE)

pytestmark = [
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the files that the pages name, and a service with the task "my-task"."""
    folder = tmp_path_factory.mktemp("world")
    TASK.to_json(folder / "my-task.jsonl")
    tokenizer = character_tokenizer()
    tokenizer.eos_token = "<unk>"
    tiny_llama().save_pretrained(folder / "base-model")
    tokenizer.save_pretrained(folder / "base-model")
    with live_service(tmp_path_factory.mktemp("home")) as live, ForgetcastClient(url=live.url) as client:
        client.tasks.create(matrix="m", id="my-task", n_examples=len(TASK))
        cells = [Cell(example_id=one["id"], forgetting=0.01 * place) for place, one in enumerate(UPSTREAM[::5])]
        client.tasks.post_measurements("my-task", MeasurementsCreate(setting=SETTING, recipe=RECIPE, cells=cells))
        yield folder, live.url


@pytest.fixture
def command(tmp_path, monkeypatch):
    """`forgetcast` as the shell finds it: this checkout's."""
    script = tmp_path / "bin" / "forgetcast"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m forgetcast.cli "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_runs_as_printed(page, world, command, tmp_path, monkeypatch):
    folder, url = world
    for name in ("my-task.jsonl", "base-model"):
        (tmp_path / name).symlink_to(folder / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORGETCAST_URL", url)
    names: dict[str, object] = {}
    printed, n_run = "", 0
    for kind, text in FENCED.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            with contextlib.redirect_stdout(out := io.StringIO()):
                exec(compile(text, str(page), "exec"), names)  # noqa: S102  # that is the point
            printed, n_run = out.getvalue(), n_run + 1
        elif kind == "sh":
            ended = subprocess.run(["/bin/sh", "-e", "-c", text], capture_output=True, text=True, timeout=120)
            assert ended.returncode == 0, ended.stderr
            printed, n_run = ended.stdout, n_run + 1
        elif kind in ("text", "yaml"):
            assert _without_names(printed) == _without_names(text)
    assert n_run > 0


def _without_names(text: str) -> str:
    """Without the folder and the sha256 of files, and what the trainer itself prints of its steps."""
    text = re.sub(r"^\{'.*\}\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'"[^"]*/(replay[^"]*)"', r'"…/\1"', text)
    return re.sub(r"replay-[0-9a-f]{16}", "replay-…", text)

"""What README and docstring show of the client runs as it is printed there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import numpy as np
import pytest

import forgetcast.client
from service.operations.whole_rows import npy_chunks

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def shown() -> dict[str, str]:
    docstring = forgetcast.client.__doc__ or ""
    return {
        "README": re.findall(r"```python\n(.+?)```", README, re.DOTALL)[0],
        "docstring": docstring.partition("\n\n")[2],
    }


@pytest.mark.parametrize("place", shown())
def test_the_client_that_is_shown_runs_as_printed(service, tmp_path, monkeypatch, capsys, place):
    service.answers["GET", "/v1/tasks/t/forgetting.npy"] = httpx2.Response(
        200, content=b"".join(npy_chunks(np.zeros(3, np.float32)))
    )
    monkeypatch.chdir(tmp_path)
    Path("my-task.jsonl").write_text('{"text": "one"}\n')
    Path("texts.jsonl").write_text('{"id": "poems-02", "text": "mine"}\n')
    exec(compile(shown()[place], place, "exec"), {})  # noqa: S102  # that is the point
    assert "poems-01 0.4 " in capsys.readouterr().out
    assert service.sent("POST", "/v1/tasks")["matrix"] == "smollm2-135m"
    lines = Path("replay", "replay.jsonl").read_text().splitlines()
    assert all(json.loads(line)["messages"] for line in lines)

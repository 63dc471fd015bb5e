"""Registering a large set holds a batch of it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

from forgetcast.schemas import UpstreamExample, UpstreamSetCreate
from service.operations.json_lines import parse_lines
from service.operations.upstream_sets import create_upstream_set, register_examples
from service.storage.database import Database


def test_registering_a_set_holds_a_batch_of_it_in_memory(database: Database, tmp_path: Path) -> None:
    with (tmp_path / "large.jsonl").open("w") as file:
        for number in range(4000):
            file.write(json.dumps({"id": str(number), "text": f"{number}" + "x" * 20_000}) + "\n")
    with (tmp_path / "large.jsonl").open("rb") as lines, database.transaction() as session:
        create_upstream_set(session, UpstreamSetCreate(id="large"))
        tracemalloc.start()
        try:
            sealed = register_examples(session, "large", parse_lines(lines, UpstreamExample), 10_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert sealed.n_examples == 4000
    assert peak < 40 << 20, "80 MB went through"

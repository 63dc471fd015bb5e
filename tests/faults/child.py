"""A child without a model that does what the first line of its data set says, and notes each of its starts.

python -m tests.faults.child STARTS_FILE JOB_DIRECTORY

The line is {"text": "BEHAVIOUR #NONCE"}; the behaviours are those of tests/workers/fake_child.py, and here:
slow:SECONDS and until:PATH work for so long, with progress; hang says nothing at all from then on.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.workers.fake_child import behave
from tests.workers.processes import alive
from workers.job_directory import JobOrder


def main() -> int:
    starts, folder = Path(sys.argv[1]), Path(sys.argv[2])
    order = JobOrder.read(folder)
    text = json.loads((folder / "dataset.jsonl").read_text().splitlines()[0])["text"]
    note_start(starts, order)
    return behave(text.partition("#")[0].strip(), folder / "pids", folder)


def note_start(starts: Path, order: JobOrder) -> None:
    """One line: which attempt, how its batches are split, and which other children of the job live at this moment."""
    earlier = [json.loads(line) for line in starts.read_text().splitlines()] if starts.exists() else []
    beside = [start["pid"] for start in earlier if start["job"] == order.job_id and alive(start["pid"])]
    line = {"job": order.job_id, "attempt": order.attempt, "pid": os.getpid(), "beside": beside, "split": order.split}
    with starts.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    sys.exit(main())

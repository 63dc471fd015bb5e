"""From a job in the database to a job directory that holds everything an attempt may see."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from service.operations.job_material import JobMaterial
from workers.gpu import lock_file
from workers.job_directory import JobOrder, write_file

YOUNG = 60.0  # seconds; a folder is locked right after it is made, not in the same instant


@contextmanager
def job_folder(root: Path, name: str) -> Iterator[Path]:
    """A folder of one attempt, locked as long as its worker lives and gone afterwards."""
    folder = root / name
    folder.mkdir(parents=True, mode=0o700)
    lock = lock_file(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def sweep_folders(root: Path) -> None:
    """Remove what workers left behind that were killed: folders that nobody holds."""
    for folder in root.glob("job_*"):
        try:
            young = time.time() - folder.stat().st_mtime < YOUNG
            lock = None if young else lock_file(folder)
        except OSError:  # another worker was quicker
            continue
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def write_job(folder: Path, material: JobMaterial, order: JobOrder) -> None:
    """Fill a job directory; job.json last, for it says that the rest is there."""
    write_file(folder / "dataset.jsonl", material.dataset)
    with (folder / "upstream.jsonl").open("w", encoding="utf-8") as lines:
        for example in material.upstream:
            lines.write(json.dumps(example) + "\n")
    np.save(folder / "before.npy", material.before.astype(np.float32), allow_pickle=False)
    order.write(folder)

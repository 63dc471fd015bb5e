"""From a job in the database to a job directory that holds everything an attempt may see."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import numpy as np

from service.operations.job_material import ControlCell, JobMaterial
from workers.host.gpu import lock_file
from workers.job_directory import JobOrder, write_file

NEARLY_FULL = 0.1  # of a disk that is free
FORGOTTEN = 3600.0  # seconds after which half-written weights belong to nobody


@contextmanager
def job_folder(root: Path, job_id: str, fence: int) -> Iterator[tuple[Path, int]]:
    """The job's folder on this host, with what earlier attempts left in it, and the lock that keeps others out.

    The child shall hold the lock too. Where another process still has it, which lost its lease and does not know yet,
    this attempt gets a folder of its own, which is gone afterwards.
    """
    folder = root / job_id
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    lock = lock_file(folder)
    if lock is not None:
        try:
            yield folder, lock
        finally:
            os.close(lock)
        return
    folder = root / f"{job_id}-{fence}"
    folder.mkdir(mode=0o700)
    lock = lock_file(folder)
    assert lock is not None, "nobody else has this fence"
    try:
        yield folder, lock
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def drop_folder(root: Path, job_id: str) -> None:
    """Remove the folder of a job that has ended, unless somebody still holds it."""
    _remove(root / job_id)


def free_folders(root: Path) -> Iterator[Path]:
    """The folders that nobody holds, each locked while the caller looks at it."""
    for folder in sorted(root.glob("job_*")):
        with suppress(OSError):
            lock = lock_file(folder)
            if lock is not None:
                try:
                    yield folder
                finally:
                    os.close(lock)


def sweep_folders(root: Path, active: Callable[[Sequence[str]], set[str]]) -> None:
    """Remove the folders that nobody holds, of jobs that have ended here or elsewhere; `active` says which have not.

    An attempt's own folder stays as long as its job: it is locked right after it is made, not in the same instant.
    """
    job_of = {folder: folder.name.partition("-")[0] for folder in root.glob("job_*")}
    wanted = active(sorted({*job_of.values()})) if job_of else set()
    for folder, job_id in job_of.items():
        if job_id not in wanted:
            _remove(folder)


def sweep_weights(root: Path, keep: timedelta) -> None:
    """Remove fine-tuned weights that were not used for so long, and what was only half written.

    Beyond that the oldest go while the disk is nearly full: they only save time, and a job needs space.
    """
    for folder in sorted(root.glob("*"), key=_age, reverse=True):
        longest = FORGOTTEN if folder.suffix == ".tmp" else keep.total_seconds()
        disk = shutil.disk_usage(root)
        if _age(folder) > longest or disk.free < NEARLY_FULL * disk.total:
            shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    if not folder.exists():
        return
    with suppress(OSError):  # another worker was quicker
        lock = lock_file(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _age(folder: Path) -> float:
    """Seconds since it was last changed; nothing for one that is gone."""
    try:
        return time.time() - folder.stat().st_mtime
    except OSError:
        return 0.0


def write_job(folder: Path, material: JobMaterial, order: JobOrder) -> None:
    """Fill a job directory; job.json last, for it says that the rest is there. An earlier attempt's error goes away."""
    (folder / "error.json").unlink(missing_ok=True)
    write_file(folder / "dataset.jsonl", material.dataset)
    with (folder / "upstream.jsonl").open("w", encoding="utf-8") as lines:
        for example_id, content in material.upstream:
            lines.write(json.dumps({"id": example_id, **content}) + "\n")
    _write_control(folder / "control.json", material.control)
    np.save(folder / "before.npy", material.before.astype(np.float32), allow_pickle=False)
    order.write(folder)


def _write_control(path: Path, cells: Sequence[ControlCell]) -> None:
    if cells:
        write_file(path, json.dumps([cell._asdict() for cell in cells]).encode())
    else:
        path.unlink(missing_ok=True)

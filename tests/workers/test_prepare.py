"""Job directories: what is in them, and that none is left behind."""

import json
import os
import time
from typing import Any

import numpy as np
import pytest

from service.operations.job_material import JobMaterial
from workers.gpu import lock_file
from workers.job_directory import JobOrder
from workers.prepare import job_folder, sweep_folders, write_job


def make_old(folder):
    long_ago = time.time() - 3600
    os.utime(folder, (long_ago, long_ago))


def test_a_job_directory_holds_everything_an_attempt_needs(tmp_path):
    upstream: list[dict[str, Any]] = [{"text": "a\u2028b"}, {"messages": [{"role": "user", "content": "c\nd"}]}]
    before = np.array([1.5, np.nan], np.float32)
    material = JobMaterial("tiny", "r", {"steps": 2}, {"scored": "all"}, 3, b'{"text": "x"}\n', upstream, before)
    order = JobOrder("job_1", 2, "/models/tiny", {"steps": 2}, {"scored": "all"}, 3)
    with job_folder(tmp_path, "job_1-2") as folder:
        write_job(folder, material, order)
        assert JobOrder.read(folder) == order
        assert (folder / "dataset.jsonl").read_bytes() == material.dataset
        with (folder / "upstream.jsonl").open() as lines:
            assert [json.loads(line) for line in lines] == upstream
        np.testing.assert_array_equal(np.load(folder / "before.npy"), before)
        assert folder.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_failed_attempt_leaves_no_directory(tmp_path):
    with pytest.raises(ValueError, match="broken"), job_folder(tmp_path, "job_1-1"):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_only_directories_that_nobody_holds_are_swept(tmp_path):
    for name in ("job_old-1", "job_young-1", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "job_old-1" / "big").write_bytes(b"x")
    make_old(tmp_path / "job_old-1")
    make_old(tmp_path / "other")
    with job_folder(tmp_path, "job_held-1") as held:
        make_old(held)
        sweep_folders(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"job_young-1", "other", "job_held-1"}


def test_a_lock_is_held_once_and_free_again(tmp_path):
    first = lock_file(tmp_path / "lock")
    assert first is not None
    assert lock_file(tmp_path / "lock") is None
    os.close(first)
    second = lock_file(tmp_path / "lock")
    assert second is not None
    os.close(second)

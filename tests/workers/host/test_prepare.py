"""Job directories: what is in them, and that none is left behind."""

import json
import os
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np

from service.operations.job_material import JobMaterial
from workers.host.gpu import lock_file
from workers.host.prepare import drop_folder, free_folders, job_folder, sweep_folders, sweep_weights, write_job
from workers.job_directory import JobOrder


def make_old(folder, seconds=3600):
    long_ago = time.time() - seconds
    os.utime(folder, (long_ago, long_ago))


def test_a_job_directory_holds_everything_an_attempt_needs(tmp_path):
    turns = [{"role": "user", "content": "c\nd"}]
    upstream: list[tuple[str, dict[str, Any]]] = [("x", {"text": "a\u2028b"}), ("y", {"messages": turns})]
    before = np.array([1.5, np.nan], np.float32)
    material = JobMaterial("tiny", "r", {"steps": 2}, {"scored": "all"}, 3, b'{"text": "x"}\n', "d", upstream, before)
    order = JobOrder("job_1", 2, 2, "/models/tiny", "r", {"steps": 2}, {"scored": "all"}, 3, "d", "/weights")
    with job_folder(tmp_path, "job_1", 2) as (folder, _lock):
        write_job(folder, material, order)
        assert JobOrder.read(folder) == order
        assert (folder / "dataset.jsonl").read_bytes() == material.dataset
        with (folder / "upstream.jsonl").open() as lines:
            assert [json.loads(line) for line in lines] == [
                {"id": example_id, **content} for example_id, content in upstream
            ]
        np.testing.assert_array_equal(np.load(folder / "before.npy"), before)
        assert folder.stat().st_mode & 0o077 == 0


def test_the_next_attempt_finds_what_the_one_before_has_left_but_not_its_error(tmp_path):
    with job_folder(tmp_path, "job_1", 1) as (folder, _lock):
        (folder / "checkpoint").touch()
        (folder / "error.json").touch()
    with job_folder(tmp_path, "job_1", 2) as (folder, _lock):
        order = JobOrder("job_1", 2, 2, "", "r", {}, {}, 3, "d", "")
        write_job(folder, JobMaterial("tiny", "r", {}, {}, 3, b"", "d", [], np.zeros(0, np.float32)), order)
        assert (folder / "checkpoint").exists() and not (folder / "error.json").exists()
    drop_folder(tmp_path, "job_1")
    assert list(tmp_path.iterdir()) == []


def test_while_a_zombie_holds_the_folder_an_attempt_has_one_of_its_own(tmp_path):
    with job_folder(tmp_path, "job_1", 1) as (zombies, _lock):
        with job_folder(tmp_path, "job_1", 2) as (folder, _other):
            assert folder.name == "job_1-2" and list(folder.iterdir()) == []
        drop_folder(tmp_path, "job_1")
        assert list(tmp_path.iterdir()) == [zombies]


def test_only_folders_that_nobody_holds_of_jobs_that_have_ended_are_swept(tmp_path):
    for name in ("job_ended", "job_ended-2", "job_waiting", "job_waiting-3", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "job_ended" / "big").write_bytes(b"x")
    with job_folder(tmp_path, "job_held", 1):
        assert {folder.name for folder in free_folders(tmp_path)} == {
            "job_ended",
            "job_ended-2",
            "job_waiting",
            "job_waiting-3",
        }
        sweep_folders(tmp_path, lambda job_ids: {"job_waiting"} & {*job_ids})
        assert {path.name for path in tmp_path.iterdir()} == {"job_waiting", "job_waiting-3", "other", "job_held"}


def test_weights_are_kept_as_long_as_they_are_used(tmp_path):
    for name in ("old", "new", "new.1.tmp", "old.2.tmp"):
        (tmp_path / name).mkdir()
    for name in ("old", "old.2.tmp"):
        make_old(tmp_path / name, 2 * 3600)
    sweep_weights(tmp_path, timedelta(hours=1))
    assert {path.name for path in tmp_path.iterdir()} == {"new", "new.1.tmp"}
    sweep_weights(tmp_path, timedelta(0))
    assert {path.name for path in tmp_path.iterdir()} == {"new.1.tmp"}


def test_the_oldest_weights_go_when_the_disk_is_nearly_full(tmp_path, monkeypatch):
    for hours, name in enumerate(["new", "old", "oldest"]):
        (tmp_path / name).mkdir()
        make_old(tmp_path / name, hours * 3600)
    free = iter([5, 9, 10])  # of 100 bytes; each folder that goes gives some back
    monkeypatch.setattr(
        "workers.host.prepare.shutil.disk_usage", lambda path: SimpleNamespace(total=100, free=next(free))
    )
    sweep_weights(tmp_path, timedelta(days=1))
    assert {path.name for path in tmp_path.iterdir()} == {"new"}


def test_a_lock_is_held_once_and_free_again(tmp_path):
    first = lock_file(tmp_path / "lock")
    assert first is not None
    assert lock_file(tmp_path / "lock") is None
    os.close(first)
    second = lock_file(tmp_path / "lock")
    assert second is not None
    os.close(second)

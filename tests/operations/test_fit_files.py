"""Copies of fits on this machine: mapped, deletable, never needed."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from forgetcast.errors import FitPending
from service.operations.fit_files import FitFiles
from service.storage import matrices
from service.storage.database import Database
from service.storage.tables import Fit, Matrix, UpstreamSet

ARRAYS = {"Model.large": np.arange(100_000.0), "Model.small": np.array(3.5), "method": np.array("local")}


def packed(arrays: dict[str, np.ndarray]) -> io.BytesIO:
    target = io.BytesIO()
    np.savez(target, allow_pickle=False, **arrays)
    target.seek(0)
    return target


@pytest.fixture
def fit(database: Database) -> Fit:
    with database.transaction() as session:
        session.add(UpstreamSet(id="s", domains={}))
        session.flush()
        session.add(Matrix(id="m", upstream_set_id="s", model="x", model_revision="r", recipe={}, setting={}))
        session.flush()
        matrices.put_fit(session, "m", 1, 1, packed(ARRAYS))
        return session.get_one(Fit, ("m", 1, 1))


def read(database: Database, fit: Fit, folder: Path) -> dict[str, np.ndarray]:
    with database.read() as session:
        return FitFiles(folder).arrays(session, fit.arrays_sha256)


def test_large_arrays_are_mapped_and_small_ones_read(database, fit, tmp_path):
    arrays = read(database, fit, tmp_path)
    assert arrays.keys() == ARRAYS.keys()
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert isinstance(arrays["Model.large"], np.memmap)
    assert not isinstance(arrays["Model.small"], np.memmap)


def test_the_copies_may_go_at_any_time(database, fit, tmp_path):
    before = read(database, fit, tmp_path)
    shutil.rmtree(tmp_path / "fits")
    assert np.array_equal(before["Model.large"], ARRAYS["Model.large"])
    assert np.array_equal(read(database, fit, tmp_path)["Model.large"], ARRAYS["Model.large"])


def test_without_room_for_a_copy_the_fit_is_in_memory(database, fit, tmp_path):
    (tmp_path / "fits").write_text("no folder can be here")
    arrays = read(database, fit, tmp_path)
    assert np.array_equal(arrays["Model.large"], ARRAYS["Model.large"])


def test_no_scratch_file_is_left_and_what_was_long_unused_goes(database, fit, tmp_path):
    old = tmp_path / "fits" / ("0" * 64)
    old.mkdir(parents=True)
    os.utime(old, (0, 0))
    read(database, fit, tmp_path)
    assert [path.name for path in (tmp_path / "fits").iterdir()] == [fit.arrays_sha256]


def test_a_fit_that_is_no_longer_kept_is_asked_for_again(database, fit, tmp_path):
    with database.transaction() as session:
        for version in range(2, 6):
            matrices.put_fit(session, "m", version, 1, packed({"Model.large": np.arange(float(version))}))
    with pytest.raises(FitPending):
        read(database, fit, tmp_path)


def test_the_same_arrays_of_two_versions_go_with_the_last(database, fit, tmp_path):
    with database.transaction() as session:
        for version in (2, 3, 4):
            matrices.put_fit(session, "m", version, 1, packed(ARRAYS))
    assert np.array_equal(read(database, fit, tmp_path)["Model.large"], ARRAYS["Model.large"])

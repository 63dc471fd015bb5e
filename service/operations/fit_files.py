"""Fits as memory-mapped files of this machine: `fits/<sha256>/<array>.npy` in the cache folder, deletable at any time.

The database holds a fit as an npz blob. All processes of a machine map the same files, so it is in memory once.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.errors import FitPending
from service.storage.blobs import read_blob
from service.storage.database import Session

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[Any]]

SMALL = 1 << 16  # bytes; a file below this is read, for mapping it would cost a page and a descriptor
UNUSED_FOR = 7 * 86400.0  # seconds after which the copy of a fit is removed


class FitFiles:
    """Copies of fits below a folder. A copy appears whole or not at all, whoever else makes it at the same time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "fits"

    def arrays(self, session: Session, sha256: str) -> Arrays:
        """The arrays of a fit, the large ones mapped. Without room for a copy they are read into memory.

        Raises
        ------
        FitPending : the fit is no longer kept
        """
        copy = self._folder / sha256
        try:
            if not copy.is_dir():
                self._copy(session, sha256, copy)
            os.utime(copy)
            return _mapped(copy)
        except OSError as error:
            log.warning("the fit %s is read into memory, for there can be no copy in %s: %s", sha256, copy, error)
            return in_memory(session, sha256)

    def _copy(self, session: Session, sha256: str, copy: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=self._folder))
        try:
            with tempfile.TemporaryFile(dir=self._folder) as packed:
                fetch(session, sha256, packed)
                with zipfile.ZipFile(packed) as members:
                    members.extractall(scratch)
            if not copy.exists():
                scratch.rename(copy)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        self._remove_unused()

    def _remove_unused(self) -> None:
        for old in self._folder.iterdir():
            if old.stat().st_mtime < time.time() - UNUSED_FOR:
                shutil.rmtree(old, ignore_errors=True)


def in_memory(session: Session, sha256: str) -> Arrays:
    """The arrays of a fit without a copy in a file, for who needs them once. Raises FitPending."""
    with tempfile.TemporaryFile() as packed:
        fetch(session, sha256, packed)
        with np.load(packed, allow_pickle=False) as arrays:
            return dict(arrays)


def fetch(session: Session, sha256: str, target: IO[bytes]) -> None:
    """Write a fit as the database has it, packed as npz. Raises FitPending when it is no longer kept."""
    for part in read_blob(session, sha256):
        target.write(part)
    if not target.tell():
        raise FitPending("the fit was superseded while it was read; ask again", retry_after=1)
    target.seek(0)


def _mapped(copy: Path) -> Arrays:
    return {
        file.stem: np.load(file, mmap_mode="r" if file.stat().st_size > SMALL else None, allow_pickle=False)
        for file in copy.glob("*.npy")
    }

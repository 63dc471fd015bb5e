"""Fits in the process of the tests; what is due is found, claimed and kept as a worker does it."""

from __future__ import annotations

from service.operations.fit_work import fit_here
from service.storage.database import Database
from service.storage.fit_work import Due


def fit_due_matrix(database: Database) -> bool:
    """Fit the newest version of one matrix that has no fit yet; False when none is due."""
    return fit_here(database, among=(Due.FIT,))


def fit_asked_version(database: Database) -> bool:
    """Fit an older version that a read asked for."""
    return fit_here(database, among=(Due.ASKED_FIT,))


def backtest_due_matrix(database: Database) -> bool:
    """Back-test what is fitted and not tested."""
    return fit_here(database, among=(Due.BACKTEST, Due.ASKED_BACKTEST))

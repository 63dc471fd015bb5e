"""Fits beside jobs."""

from __future__ import annotations

import threading

import pytest

import workers.fit_loop
from workers.fit_loop import start_fit_loop


def test_fits_are_made_until_the_worker_stops() -> None:
    made, stop = threading.Semaphore(0), threading.Event()

    def fit_due() -> bool:
        made.release()
        return True

    thread = start_fit_loop(fit_due, stop)
    assert all(made.acquire(timeout=5) for _ in range(3))
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_fit_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.fit_loop, "TRY_AGAIN_AFTER", 0.01)
    tried, stop = threading.Semaphore(0), threading.Event()

    def fit_due() -> bool:
        tried.release()
        raise ValueError("cannot be fitted")

    thread = start_fit_loop(fit_due, stop)
    assert all(tried.acquire(timeout=5) for _ in range(2))
    stop.set()
    thread.join(5)
    assert not thread.is_alive()

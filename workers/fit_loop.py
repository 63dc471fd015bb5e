"""Fits in a thread beside the child: no matrix version waits for a job of hours, and no job for a back-test."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

LOOK_AGAIN_AFTER = 1.0  # seconds, when nothing was due
TRY_AGAIN_AFTER = 60.0  # seconds, after a fit that failed


def start_fit_loop(fit_due: Callable[[], bool], stop: threading.Event) -> threading.Thread:
    """Call `fit_due`, which does one fit or says False when none is due, until `stop` is set.

    The thread is a daemon: a fit that is cut off has written nothing.
    """
    thread = threading.Thread(target=_loop, args=(fit_due, stop), name="fits", daemon=True)
    thread.start()
    return thread


def _loop(fit_due: Callable[[], bool], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            if not fit_due():
                stop.wait(LOOK_AGAIN_AFTER)
        except Exception:  # a matrix that cannot be fitted must not end the worker
            log.exception("the fit failed; the next one is tried in %.0f s", TRY_AGAIN_AFTER)
            stop.wait(TRY_AGAIN_AFTER)

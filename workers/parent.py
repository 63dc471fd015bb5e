"""A child that never outlives its worker."""

from __future__ import annotations

import os
import threading


def die_with_parent() -> None:
    """End at once when the worker closes our stdin or dies; the kernel does the same on Linux by a signal."""

    def watch() -> None:
        # Not through sys.stdin: its lock would be held when the interpreter shuts down, which is a fatal error.
        while os.read(0, 4096):
            pass
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()

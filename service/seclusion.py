"""Keep what this process knows from the others of its user: its environment holds the database's password.

What a worker starts runs under the same user, on a user's data and model, and Linux lets processes of one user read
each other unless they say no.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

PR_SET_DUMPABLE = 4


@cache
def seclude() -> None:
    """From now on no process without the capability to trace others reads this one's environment or memory.

    Linux alone has both the way in and the way to shut it. What this process starts is not secluded by that.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        _move_environment(libc)


def _move_environment(libc: ctypes.CDLL) -> None:
    """Out of the place that /proc/PID/environ shows, also where the kernel does not heed the other wish.

    Variables that are set anew lie elsewhere; what they were is overwritten.
    """
    entries = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    shown: list[int] = []
    while address := entries[len(shown)]:
        shown.append(address)
    for name, value in os.environb.items():
        os.putenv(name, value)
    for address in shown:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))

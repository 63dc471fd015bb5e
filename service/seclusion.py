"""Keep what this process knows from the others of its user: its environment holds the database's password.

What a worker starts runs under the same user, on a user's data and model, and Linux lets processes of one user read
each other unless they say no.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

PR_SET_DUMPABLE = 4


@cache
def seclude() -> None:
    """From now on no process without the capability to trace others reads this one's environment or memory.

    Linux alone has both the way in and the way to shut it. What this process starts is not secluded by that.
    """
    if sys.platform == "linux":
        begin, end = _shown_environment()
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        _move_environment(libc, begin, end)


def _shown_environment() -> tuple[int, int]:
    """Addresses between which /proc/PID/environ shows what is there: fields 50 and 51 of /proc/PID/stat, proc(5)."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    return int(fields[47]), int(fields[48])


def _move_environment(libc: ctypes.CDLL, begin: int, end: int) -> None:
    """Out of the place that /proc/PID/environ shows, also where the kernel does not heed the other wish.

    Variables that are set anew lie elsewhere; what they were is overwritten. One that was set since the start lies
    elsewhere already, and the C library would give it the same place again.
    """
    entries = ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")
    shown: list[int] = []
    place = 0
    while address := entries[place]:
        place += 1
        if begin <= address < end:
            shown.append(address)
    for name, value in os.environb.items():
        os.putenv(name, value)
    for address in shown:
        ctypes.memset(address, 0, len(ctypes.string_at(address)))

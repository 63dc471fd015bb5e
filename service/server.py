"""The HTTP server of one process, and how it ends: it first says so, then answers what it has begun."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.server_protocol import LONGEST_HEAD, Protocol

MOST_FILES = 65_536  # connections are files too
LONGEST_DRAIN = 10  # seconds that requests in flight may take after a signal


class DrainingServer(uvicorn.Server):
    """Sets `draining` at the first signal: streams and waiting requests end by it, and `/readyz` turns 503.

    For `delay` more it goes on to take requests, so that a load balancer sees the 503 before connections are refused. A
    second signal ends the delay.
    """

    def __init__(self, config: uvicorn.Config, draining: threading.Event, delay: timedelta) -> None:
        super().__init__(config)
        self._draining, self._delay = draining, delay

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._draining.is_set() or not self._delay:
            self._draining.set()
            super().handle_exit(sig, frame)
            return
        self._draining.set()
        later = threading.Timer(self._delay.total_seconds(), super().handle_exit, (sig, frame))
        later.daemon = True
        later.start()


def _allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one; 1,024, the usual one, is fewer than the waiting requests."""
    with suppress(ImportError, ValueError, OSError):  # not everywhere, and not always allowed
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def serve_app(app: FastAPI, host: str, port: int, draining: threading.Event, delay: timedelta) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Ends the process with 128 + SIGTERM after the former."""
    _allow_many_connections()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=LONGEST_DRAIN,
        http=Protocol,
        ws="none",
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )
    # uvicorn raises the signal again after its own shutdown; as an exit it lets whoever called us clean up as well.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    server = DrainingServer(config, draining, delay)
    with suppress(KeyboardInterrupt):  # as uvicorn.run does
        server.run()
    if not server.started:
        sys.exit(1)

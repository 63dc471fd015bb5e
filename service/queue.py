"""Ids of jobs on their way to workers. A hint only: the job row is the truth, and any id may be lost or doubled.

Whatever arrives, or nothing, the worker then claims the best row; so a lost id costs one wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from forgetcast.errors import ConfigurationError

log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(seconds=30)
LONGEST_LIST = 10_000  # ids of one class; where every worker runs `--once`, nobody takes any out
ANSWER_TIME = 2.0  # seconds a healthy Redis may take; a request must not hang on a dead one
FORM = "write redis://:PASSWORD@HOST:6379/0, with rediss:// for TLS"


class JobQueue(Protocol):
    """Sends job ids after their commit. Neither direction ever raises."""

    def send(self, job_id: str, hardware: str) -> None:
        """Tell a waiting worker of this hardware class, if that is possible just now."""

    def receive(self, hardware: Sequence[str], timeout: timedelta) -> str | None:
        """Wait for a job id of one of these hardware classes, `timeout` at the longest."""

    def answers(self) -> bool:
        """Whether ids can be sent and received just now."""


class NoQueue:
    """No Redis: workers look into the database again after a short wait."""

    def __init__(self, poll: timedelta = timedelta(seconds=1)) -> None:
        self._poll = poll

    def send(self, job_id: str, hardware: str) -> None:
        pass

    def receive(self, hardware: Sequence[str], timeout: timedelta) -> str | None:
        time.sleep(min(self._poll, timeout).total_seconds())
        return None

    def answers(self) -> bool:
        return True


class RedisQueue:
    """One Redis list per hardware class. A Redis that fails is a wait."""

    def __init__(self, url: str, prefix: str = "forgetcast:jobs:") -> None:
        # One retry: after a restart of Redis every pooled connection is dead, and the first command finds out.
        common = {"retry": Retry(NoBackoff(), 1), "socket_connect_timeout": ANSWER_TIME, "decode_responses": True}
        self._prefix = prefix
        self._sender = redis.Redis.from_url(url, socket_timeout=ANSWER_TIME, **common)
        longest = LONGEST_WAIT.total_seconds() + ANSWER_TIME
        self._receiver = redis.Redis.from_url(url, socket_timeout=longest, **common)

    def send(self, job_id: str, hardware: str) -> None:
        try:
            with self._sender.pipeline(transaction=False) as both:
                both.rpush(self._prefix + hardware, job_id)
                both.ltrim(self._prefix + hardware, -LONGEST_LIST, -1)
                both.execute()
        except (redis.RedisError, OSError) as error:
            log.warning("the queue does not answer; workers find job %s by themselves: %s", job_id, error)

    def receive(self, hardware: Sequence[str], timeout: timedelta) -> str | None:
        until = time.monotonic() + min(timeout, LONGEST_WAIT).total_seconds()
        try:
            keys = [self._prefix + name for name in hardware]
            found = self._receiver.blpop(keys, timeout=min(timeout, LONGEST_WAIT).total_seconds())
        except (redis.RedisError, OSError, UnicodeDecodeError) as error:
            log.warning("the queue does not answer; looking into the database instead: %s", error)
            time.sleep(max(0.0, until - time.monotonic()))
            return None
        return None if found is None else str(found[1])

    def answers(self) -> bool:
        try:
            return bool(self._sender.ping())
        except (redis.RedisError, OSError):
            return False

    def close(self) -> None:
        self._sender.close()
        self._receiver.close()


def open_queue(redis_url: str) -> JobQueue:
    """The queue of this deployment; an empty URL means none. Raises ConfigurationError, and quotes no password."""
    if not redis_url:
        return NoQueue()
    try:
        return RedisQueue(redis_url)
    except ValueError:
        raise ConfigurationError(f"FORGETCAST_REDIS_URL is no URL of a Redis; {FORM}") from None

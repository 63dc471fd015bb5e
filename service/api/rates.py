"""How many requests a key, and how many failed ones an address, may send: counted in Redis, else in this process."""

from __future__ import annotations

import logging
import time

import limits
from cachetools import TTLCache
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.concurrency import run_in_threadpool

from forgetcast.errors import ConfigurationError, RateLimited
from service.settings import Settings

log = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.2  # seconds; a slow count must not slow the service
SHARES = 1000  # of a rate, that a process takes one by one
WRONG_KEYS = "an address may try {} wrong keys"
MOST_SLOWED = 10_000  # addresses that are remembered
WITHOUT_REDIS = 5.0  # seconds for which the process counts alone after Redis did not answer


class Rates:
    """Fixed windows. While Redis does not answer each process counts for itself, so nobody is locked out by it."""

    def __init__(self, settings: Settings) -> None:
        self._request_rate = _rate(settings.rate_limit, "FORGETCAST_RATE_LIMIT")
        self._failure_rate = _rate(settings.failed_logins, "FORGETCAST_FAILED_LOGINS")
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = _shared(settings.redis_url)
        self._alone_until = 0.0
        self._granted: dict[str, int] = {}  # by key, what is counted already and not used yet
        # Addresses that have failed too often, so that none of their further failures has to be counted.
        self._slowed: TTLCache[str, None] = TTLCache(MOST_SLOWED, self._failure_rate.get_expiry())

    async def count_request(self, key_id: str) -> None:
        """Count a request of this key; a thousandth of the rate at a time, for a count may be a way to Redis.

        Raises
        ------
        RateLimited
        """
        if not self._granted.get(key_id):
            share = max(1, self._request_rate.amount // SHARES)
            await self._count(self._request_rate, "request", key_id, "an API key may send {} requests", share)
            self._granted[key_id] = self._granted.get(key_id, 0) + share
        self._granted[key_id] -= 1

    def check_failures(self, address: str) -> None:
        """Raises RateLimited where an address has tried too many wrong keys already."""
        if address in self._slowed:
            raise self._too_many(self._failure_rate, WRONG_KEYS)

    async def count_failure(self, address: str) -> None:
        """Count a wrong key. Raises RateLimited; requests with a valid key are not affected."""
        try:
            await self._count(self._failure_rate, "failure", address, WRONG_KEYS)
        except RateLimited:
            self._slowed[address] = None
            raise

    async def _count(self, rate: limits.RateLimitItem, kind: str, who: str, sentence: str, cost: int = 1) -> None:
        names = ("forgetcast", kind, who)
        limiter = self._own
        if self._shared is not None and time.monotonic() >= self._alone_until:
            try:
                admitted = await run_in_threadpool(self._shared.hit, rate, *names, cost=cost)
                limiter = self._shared
            except limits.errors.StorageError as error:
                log.warning("Redis does not count requests, so this process counts its own: %s", error)
                self._alone_until = time.monotonic() + WITHOUT_REDIS
        if limiter is self._own:
            admitted = limiter.hit(rate, *names, cost=cost)
        if not admitted:
            raise self._too_many(rate, sentence)

    @staticmethod
    def _too_many(rate: limits.RateLimitItem, sentence: str) -> RateLimited:
        return RateLimited(sentence.format(rate), retry_after=rate.get_expiry())


def _rate(text: str, setting: str) -> limits.RateLimitItem:
    try:
        return limits.parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{setting} is {text!r}; write it like 600/minute") from error


def _shared(redis_url: str) -> FixedWindowRateLimiter | None:
    if not redis_url:
        return None
    storage = RedisStorage(
        redis_url, wrap_exceptions=True, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    )
    return FixedWindowRateLimiter(storage)

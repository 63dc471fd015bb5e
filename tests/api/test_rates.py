"""Counting many requests at a time admits no more and no fewer of them."""

from __future__ import annotations

import asyncio

import pytest

from forgetcast.errors import RateLimited
from service.api.rates import Rates
from service.settings import Settings


def test_a_rate_that_is_taken_in_shares_is_still_the_rate() -> None:
    rates = Rates(Settings(rate_limit="5000/hour", redis_url=""))

    async def send(n_requests: int) -> None:
        for _ in range(n_requests):
            await rates.count_request("key")

    asyncio.run(send(5000))
    with pytest.raises(RateLimited):
        asyncio.run(send(1))
    asyncio.run(rates.count_request("another"))

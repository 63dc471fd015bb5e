"""The queue is a hint: with Redis, without it, and with a Redis that is not there."""

import socket
import time
from datetime import timedelta

import pytest

from forgetcast.errors import ConfigurationError
from service.queue import NoQueue, RedisQueue, open_queue

SHORT = timedelta(milliseconds=200)
ANY = ["any"]


def test_sending_and_receiving_never_raise_and_waiting_ends(queue):
    queue.send("job_1", "any")
    began = time.monotonic()
    assert queue.receive(ANY, SHORT) in (None, "job_1")
    assert queue.receive(ANY, SHORT) is None
    assert time.monotonic() - began < 10


def test_waiting_for_nothing_takes_its_time(queue):
    began = time.monotonic()
    assert queue.receive(ANY, SHORT) is None
    assert time.monotonic() - began >= 0.9 * SHORT.total_seconds()


def test_an_id_reaches_one_worker_of_its_hardware(redis_queue):
    redis_queue.send("job_1", "a100")
    assert redis_queue.receive(ANY, SHORT) is None
    assert redis_queue.receive(["a100", "any"], SHORT) == "job_1"
    assert redis_queue.receive(["a100", "any"], SHORT) is None


def test_bytes_that_are_no_text_are_a_wait(redis_queue, redis_url):
    import redis

    client = redis.Redis.from_url(redis_url)
    client.rpush(redis_queue._prefix + "any", b"\xff\xfe")
    client.close()
    assert redis_queue.receive(ANY, SHORT) is None


@pytest.fixture
def dead_redis():
    """A queue on a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        queue = RedisQueue(f"redis://127.0.0.1:{probe.getsockname()[1]}/0")
        yield queue
        queue.close()


def test_a_dead_redis_costs_no_request_and_is_a_wait_for_the_worker(dead_redis):
    began = time.monotonic()
    dead_redis.send("job_1", "any")
    assert time.monotonic() - began < 10
    began = time.monotonic()
    assert dead_redis.receive(ANY, SHORT) is None
    assert time.monotonic() - began >= 0.9 * SHORT.total_seconds()


@pytest.mark.parametrize("url", ["garbage", "http://:secret@host", "redis://:secret@host:port/0"])
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url):
    with pytest.raises(ConfigurationError, match=r"FORGETCAST_REDIS_URL .*redis://:PASSWORD@HOST") as refused:
        open_queue(url)
    assert "secret" not in str(refused.value)


def test_the_url_chooses_the_queue():
    assert isinstance(open_queue(""), NoQueue)
    queue = open_queue("redis://127.0.0.1:1/0")
    assert isinstance(queue, RedisQueue)
    queue.close()

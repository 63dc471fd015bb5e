"""Waiting for a job: every event once and in order, whatever happens to the connection."""

from __future__ import annotations

from datetime import timedelta

import httpx2
import pytest

from forgetcast import errors
from forgetcast.schemas import Event
from tests.client.answers import a_job, an_event, event_stream, ok, page, problem


def test_waiting_without_events_asks_the_service_to_hold_the_answer(client, service):
    service.will(ok(a_job("running")), ok(a_job()))
    assert client.jobs.wait("job_1").state == "succeeded"
    assert [request.url.params["wait"] for request in service.requests] == ["25", "25"]


def test_events_are_handed_over_as_the_stream_brings_them(client, service):
    service.will(event_stream(an_event(1, "queued"), an_event(2, phase="load", step=0, total=1)), ok(a_job()), page([]))
    seen: list[Event] = []
    client.jobs.wait("job_1", on_event=seen.append)
    assert [event.id for event in seen] == [1, 2]
    assert seen[1].data["phase"] == "load"


def test_a_broken_stream_is_resumed_after_the_last_event(client, service):
    service.will(event_stream(an_event(1), an_event(2), done=False), event_stream(an_event(3)), ok(a_job()), page([]))
    seen = []
    client.jobs.wait("job_1", on_event=lambda event: seen.append(event.id))
    assert seen == [1, 2, 3]
    assert service.requests[1].headers["Last-Event-ID"] == "2"


def test_an_event_that_comes_twice_is_handed_over_once(client, service):
    service.will(
        event_stream(an_event(1), an_event(2), done=False),
        event_stream(an_event(2), an_event(3)),
        ok(a_job()),
        page([an_event(3)]),
        page([]),
    )
    seen = []
    client.jobs.wait("job_1", on_event=lambda event: seen.append(event.id))
    assert seen == [1, 2, 3]


def test_where_streams_do_not_come_through_events_are_asked_for(client, service):
    service.will(
        httpx2.Response(200, text="<html>", headers={"Content-Type": "text/html"}),
        ok(a_job("running")),
        page([an_event(1)]),
        ok(a_job()),
        page([an_event(2)]),
    )
    seen = []
    job = client.jobs.wait("job_1", on_event=lambda event: seen.append(event.id))
    assert seen == [1, 2]
    assert job.terminal


def test_a_service_that_restarts_is_waited_for(client, service):
    service.will(*[httpx2.ConnectError("refused")] * 30, ok(a_job()), page([]))
    assert client.jobs.wait("job_1", on_event=lambda event: None).terminal


def test_a_service_that_never_comes_back_is_given_up(client, service, pauses):
    service.will(httpx2.ConnectError("refused"))
    with pytest.raises(errors.ServiceUnreachable):
        client.jobs.wait("job_1", on_event=lambda event: None)
    assert 120 <= sum(pauses) <= 180


def test_an_unknown_job_is_not_waited_for(client, service):
    service.will(problem("job_not_found", 404))
    with pytest.raises(errors.JobNotFound):
        client.jobs.wait("job_1", on_event=lambda event: None)
    assert len(service.requests) == 1


@pytest.mark.parametrize("timeout", [timedelta(seconds=40), 40, 40.0])
def test_when_time_is_up_the_job_is_said_to_go_on(client, service, pauses, timeout):
    def hold(request: httpx2.Request) -> httpx2.Response:
        pauses.append(float(request.url.params.get("wait", 0)))
        return ok(a_job("running"))

    service.will(hold)
    with pytest.raises(errors.WaitTimedOut, match="goes on"):
        client.jobs.wait("job_1", timeout=timeout)
    assert sum(pauses) == pytest.approx(40, abs=1)


def test_a_silent_stream_does_not_outlast_the_time_given(client, service, pauses):
    def hold(request: httpx2.Request) -> httpx2.Response:
        pauses.append(float(request.url.params.get("wait", 0)))
        return ok(a_job("running")) if "wait" in request.url.params else page([])

    def silent(request: httpx2.Request) -> httpx2.Response:
        pauses.append(15.0)
        return event_stream(done=False, comments=1)

    service.will(silent, silent, silent, hold)
    with pytest.raises(errors.WaitTimedOut):
        client.jobs.wait("job_1", timeout=timedelta(seconds=60), on_event=lambda event: None)
    assert sum(pauses) == pytest.approx(60, abs=2)


def test_all_events_so_far_are_read_page_by_page(client, service):
    service.will(page([an_event(1), an_event(2)], cursor="2"), page([an_event(3)]))
    assert [event.id for event in client.jobs.events("job_1")] == [1, 2, 3]
    assert service.requests[1].url.params["after"] == "2"


# What a newer service says


def test_an_event_of_a_type_that_only_a_newer_service_has_is_handed_over_and_ends_nothing(client, service):
    strange = {**an_event(1, "hm"), "type": "omen", "level": "dire", "new": True}
    service.will(event_stream(strange, an_event(2)), ok(a_job()), page([]))
    seen: list[Event] = []
    client.jobs.wait("job_1", on_event=seen.append)
    assert [(event.id, event.type, event.level) for event in seen] == [(1, "omen", "dire"), (2, "message", "info")]


def test_a_job_in_a_state_that_only_a_newer_service_has_is_waited_for(client, service):
    service.will(ok(a_job("paused", measure="halves")), ok(a_job()))
    paused = client.jobs.get("job_1")
    assert (paused.state, paused.state.value, paused.state.terminal, paused.measure) == (
        "paused", "paused", False, "halves"
    )  # fmt: skip
    assert client.jobs.wait("job_1").state == "succeeded"


def test_unknown_values_within_lists_stay_as_they_are(client, service):
    service.will(page([{**an_event(1), "type": "omen"}, an_event(2)]))
    assert [event.type for event in client.jobs.events("job_1")] == ["omen", "message"]


# Time, and the caller's own errors


@pytest.mark.parametrize("answer", [httpx2.ConnectError("no"), httpx2.ReadTimeout("late"), problem("busy", 503)])
def test_a_wait_without_an_answer_ends_when_its_time_does(client, service, pauses, answer):
    service.will(answer)
    with pytest.raises(errors.WaitTimedOut, match="not heard of"):
        client.jobs.wait("job_1", timeout=3)
    assert sum(pauses) <= 3.0


def test_no_request_of_a_wait_outlasts_it(client, service):
    service.will(ok(a_job("running")))
    with pytest.raises(errors.WaitTimedOut, match="is running"):
        client.jobs.wait("job_1", timeout=0)
    limits = service.requests[0].extensions["timeout"]
    assert max(limits.values()) <= 0.5 and "wait" not in service.requests[0].url.params


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("mine"), errors.Busy("mine"), errors.UnexpectedAnswer("mine")])
@pytest.mark.parametrize("streamed", [True, False])
def test_an_exception_of_the_callback_is_the_callers_whatever_it_looks_like(client, service, error, streamed):
    def fail(_event: Event) -> None:
        raise error

    service.will(event_stream(an_event(1)) if streamed else ok({}), ok(a_job("running")), page([an_event(1)]))
    with pytest.raises(type(error), match="mine") as raised:
        client.jobs.wait("job_1", on_event=fail)
    assert raised.value is error

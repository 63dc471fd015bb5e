"""One request and its answer: problems become errors, and what is safe to repeat is repeated."""

from __future__ import annotations

import email.utils
import json
from datetime import UTC, datetime, timedelta

import httpx2
import numpy as np
import pytest

from forgetcast import ForgetcastClient, errors
from tests.client.answers import a_job, a_task, ok, page, problem


def test_a_problem_is_raised_as_the_error_of_its_code(client, service):
    fields = [{"pointer": "/matrix", "detail": "no such matrix"}]
    service.will(problem("unknown_reference", 422, "no matrix has the id 'x'", errors=fields))
    with pytest.raises(errors.UnknownReference, match="no matrix has the id 'x'") as raised:
        client.tasks.get("t")
    assert raised.value.errors == (errors.FieldError("/matrix", "no such matrix"),)


def test_an_error_carries_where_to_look_instead(client, service):
    service.will(problem("not_measured", 409, headers={"Location": "/v1/jobs/job_7"}))
    with pytest.raises(errors.NotMeasured) as raised:
        client.tasks.forecast("t")
    assert raised.value.location == "/v1/jobs/job_7"


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, errors.BadRequest),
        (401, errors.AccessDenied),
        (403, errors.AccessDenied),
        (404, errors.NotFound),
        (408, errors.Unavailable),
        (409, errors.Conflict),
        (412, errors.Conflict),
        (422, errors.BadRequest),
        (429, errors.TooManyRequests),
        (500, errors.ServiceFailure),
        (503, errors.Unavailable),
    ],
)
def test_a_code_that_only_a_newer_service_has_is_raised_as_the_family_of_its_status(client, service, status, family):
    service.will(problem("moon_in_the_way", status, "wait for the morning"))
    with pytest.raises(errors.ForgetcastError, match="wait for the morning") as raised:
        client.tasks.get("t")
    assert (type(raised.value), raised.value.code) == (family, "moon_in_the_way")
    assert (raised.value.retryable, raised.value.request_id) == (status == 503, "req-1")


def test_a_code_that_is_known_is_its_class_whatever_its_status(client, service):
    service.will(problem("not_finite", 404))
    with pytest.raises(errors.NotFinite):
        client.tasks.get("t")


def test_an_internal_error_names_the_request_for_the_log(client, service):
    service.will(problem("internal", 500))
    with pytest.raises(errors.Internal, match="req-1"):
        client.tasks.get("t")


def test_an_error_page_of_something_else_is_said_to_be_no_forgetcast_service(client, service):
    service.will(httpx2.Response(404, text="<html>nothing here</html>"))
    with pytest.raises(errors.UnexpectedAnswer, match="a Forgetcast service"):
        client.tasks.get("t")


def test_fields_that_a_newer_service_adds_are_left_out(client, service):
    service.will(ok({**a_job(), "moons": 2}))
    assert client.jobs.get("job_1").id == "job_1"


def test_an_answer_in_another_form_is_an_error(client, service):
    service.will(ok({"id": "job_1"}))
    with pytest.raises(errors.UnexpectedAnswer, match="versions of client and service"):
        client.jobs.get("job_1")


def test_a_service_that_comes_back_in_time_is_answered_as_if_it_had_not_been_away(client, service):
    service.will(httpx2.ConnectError("refused"), httpx2.ConnectError("refused"), ok(a_job()))
    assert client.jobs.get("job_1").id == "job_1"


def test_a_service_that_stays_away_is_unreachable_within_seconds(client, service, pauses):
    service.will(httpx2.ConnectError("refused"))
    with pytest.raises(errors.ServiceUnreachable, match=r"nothing answers at http://127\.0\.0\.1:8737"):
        client.jobs.get("job_1")
    assert len(service.requests) == 3
    assert sum(pauses) < 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_answer_that_will_pass_is_asked_for_again(client, service, status):
    service.will(problem("busy", status), ok(a_job()))
    assert client.jobs.get("job_1").id == "job_1"


@pytest.mark.parametrize("status", [404, 409, 422, 500])
def test_an_answer_that_will_not_pass_is_not_asked_for_again(client, service, status):
    service.will(problem("internal", status))
    with pytest.raises(errors.Internal):
        client.jobs.get("job_1")
    assert len(service.requests) == 1


def test_retry_after_is_kept_to(client, service, pauses):
    service.will(problem("fit_pending", 503, headers={"Retry-After": "2"}), ok(a_job()))
    client.jobs.get("job_1")
    assert pauses == [2.0]


def test_a_date_to_come_back_at_is_kept_to(client, service, pauses):
    at = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=5), usegmt=True)
    service.will(problem("busy", 503, headers={"Retry-After": at}), ok(a_job()))
    client.jobs.get("job_1")
    assert 2 <= pauses[0] <= 5


@pytest.mark.parametrize("retry_after", ["soon", "", "Fri, 99 Foo 2026"])
def test_a_retry_after_that_says_nothing_is_not_believed(client, service, pauses, retry_after):
    service.will(problem("busy", 503, headers={"Retry-After": retry_after}), ok(a_job()))
    client.jobs.get("job_1")
    assert pauses[0] < 1


def test_a_request_whose_first_sending_is_still_at_work_is_sent_again(client, service):
    still_at_work = problem("first_sending_at_work", 409, retryable=True, headers={"Retry-After": "1"})
    service.will(httpx2.ReadError("gone"), still_at_work, ok(a_task(), 202))
    client.tasks.create(matrix="m")
    assert len({request.headers["Idempotency-Key"] for request in service.requests}) == 1


def test_a_fit_that_is_not_ready_is_asked_for_until_the_deadline(client, service, pauses):
    service.will(problem("fit_pending", 503, headers={"Retry-After": "2"}))
    with pytest.raises(errors.FitPending):
        client.tasks.forecast("t")
    assert 26 <= sum(pauses) <= 30


def test_no_pause_reaches_beyond_the_deadline(client, service, pauses):
    service.will(problem("busy", 429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.Busy) as raised:
        client.jobs.get("job_1")
    assert raised.value.retry_after == 3600
    assert pauses == []


def test_a_repeated_post_carries_the_same_idempotency_key(client, service):
    service.will(httpx2.ReadError("gone"), ok(a_task(), 202))
    client.tasks.create(matrix="m")
    first, second = (request.headers["Idempotency-Key"] for request in service.requests)
    assert first == second


def test_two_posts_carry_two_idempotency_keys(client, service):
    service.will(ok(a_task(), 202))
    client.tasks.create(matrix="m")
    client.tasks.create(matrix="m")
    assert len({request.headers["Idempotency-Key"] for request in service.requests}) == 2


def test_every_page_of_a_list_is_read(client, service):
    service.will(page([a_task("a"), a_task("b")], cursor="next"), page([a_task("c")]))
    assert [task.id for task in client.tasks.list(matrix="m")] == ["a", "b", "c"]
    assert service.requests[1].url.params["cursor"] == "next"
    assert service.requests[1].url.params["matrix"] == "m"


def test_the_key_goes_along_and_a_line_break_copied_with_it_does_not(service, monkeypatch):
    monkeypatch.setenv("FORGETCAST_API_KEY", "fck_12345678_abc\n")
    service.will(ok(a_job()))
    ForgetcastClient(transport=httpx2.MockTransport(service)).jobs.get("job_1")
    assert service.requests[0].headers["Authorization"] == "Bearer fck_12345678_abc"


def test_a_key_with_other_characters_is_refused_before_it_is_sent():
    with pytest.raises(errors.ConfigurationError, match="FORGETCAST_API_KEY") as raised:
        ForgetcastClient(api_key="fck_…secret")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["localhost:8737", "ftp://host", "http://", "http://[::1"])
def test_a_url_that_cannot_be_called_is_refused(url):
    with pytest.raises(errors.ConfigurationError, match="URL"):
        ForgetcastClient(url=url)


def test_the_url_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("FORGETCAST_URL", "https://forgetcast.example/")
    assert ForgetcastClient().url == "https://forgetcast.example"


def test_a_proxy_is_not_asked_for_a_service_on_this_machine(monkeypatch):
    monkeypatch.delenv("FORGETCAST_URL", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    assert not ForgetcastClient()._connection.http.trust_env
    assert ForgetcastClient(url="http://forgetcast.example")._connection.http.trust_env


def test_a_service_that_is_not_ready_says_what_it_misses(client, service):
    service.will(ok({"ready": False, "missing": ["the database"]}, 503))
    assert client.ready().missing == ["the database"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_no_success_and_says_where_to_go(client, service, tmp_path, status):
    service.will(httpx2.Response(status, text="<html>", headers={"Location": "https://elsewhere.example/v1"}))
    for call in (
        lambda: client.datasets.upload(b'{"text": "a"}\n'),
        lambda: client.matrices.export("m", tmp_path / "rows.npy"),
        lambda: client.matrices.delete_row("m", "t", row_version=1),
        lambda: client.tasks.get("t"),
        lambda: client.jobs.wait("job_1", on_event=lambda event: None),
    ):
        with pytest.raises(errors.UnexpectedAnswer, match=r"redirected to https://elsewhere\.example"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_removal_whose_answer_was_lost_is_done(client, service):
    service.will(httpx2.ReadTimeout("lost"), problem("row_not_found", 404))
    client.matrices.delete_row("m", "t", row_version=1)
    assert len(service.requests) == 2


def test_a_removal_of_what_was_never_there_is_an_error(client, service):
    service.will(problem("row_not_found", 404))
    with pytest.raises(errors.RowNotFound):
        client.matrices.delete_row("m", "t", row_version=1)


def test_numbers_of_numpy_are_numbers_and_nan_is_a_missing_cell(client, service):
    service.will(ok(a_task(), 201))
    client.matrices.put_row("m", "t", {"a": np.float32(0.5), "b": np.int64(1), "c": float("nan")})
    cells = [json.loads(line)["forgetting"] for line in service.requests[0].content.splitlines()]
    assert cells == [0.5, 1.0, None]


def test_an_id_that_cannot_be_one_is_said_in_words(client, service):
    with pytest.raises(errors.InvalidRequest, match="id: an id has up to 128 letters, digits"):
        client.tasks.create(matrix="m", id="a/b", measure="none")


def test_an_empty_key_in_the_environment_is_none(service, monkeypatch, config_folder):
    config_folder.mkdir(parents=True)
    (config_folder / "login.json").write_text(json.dumps({"url": "http://127.0.0.1:8737", "api_key": "stored"}))
    monkeypatch.setenv("FORGETCAST_API_KEY", "")
    monkeypatch.setenv("FORGETCAST_URL", "")
    service.will(ok(a_task()))
    with ForgetcastClient(transport=httpx2.MockTransport(service)) as client:
        client.tasks.get("t")
    assert service.requests[0].headers["Authorization"] == "Bearer stored"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "does not speak TLS"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "SSL_CERT_FILE"),
    ],
)
def test_what_another_url_or_setting_mends_is_said_at_once(client, service, error, said):
    service.will(httpx2.ConnectError(error))
    with pytest.raises(errors.ConfigurationError, match=said):
        client.jobs.get("job")
    assert len(service.requests) == 1

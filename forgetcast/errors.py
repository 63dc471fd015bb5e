"""Everything that can go wrong, in domain words with a stable code. No HTTP numbers here.

Families are for `except`: they have no code of their own, and nothing raises them but the client, for a code that only
a newer service has.

ForgetcastError
  InvalidInput      WrongShape, NotFinite, BeyondBelief, WrongKind, WrongRepeat, NothingObserved, RepeatedTask,
                    RepeatedExample, UnknownExample, UnknownMethod, OutOfRange, TooManyExamplesAsked, TooFewRows,
                    MatrixEmpty, UnreadableMatrix, PolicyInvalid, BadDataset
  BadRequest        InvalidRequest, UnknownReference, LimitExceeded, Sha256Mismatch, MethodNotAllowed,
                    UnsupportedMediaType
  NotFound          UpstreamSetNotFound, MatrixNotFound, RowNotFound, DatasetNotFound, TaskNotFound, JobNotFound,
                    GateNotFound, ApiKeyNotFound, RouteNotFound, ModelNotFound
  Conflict          IdInUse, UpstreamSetSealed, UpstreamSetOpen, TextsMissing, ApiKeyEnded, RowKnown, TaskExists,
                    RecipeMismatch, JobActive, JobEnded, NotMeasured, FitFailed, VersionChanged, WriteConflict,
                    IdempotencyConflict, IdempotencyInFlight
  AccessDenied      Unauthenticated, Forbidden, CrossSite
  TooManyRequests   RateLimited, TooManyJobs
  Unavailable       FitPending, Busy, RequestTimeout, DatabaseUnavailable, ServiceUnreachable, WaitTimedOut
  WorkerFailure     ModelMismatch, ModelUnreadable, ModelUnreachable, UnsupportedModel, NotForModel, WillNotFit,
                    LossNotFinite, NothingToScore, NotReproducible, JobFailed
  ServiceFailure    Internal, UnexpectedAnswer
  SetupFailure      ConfigurationError, ModelsUnreadable, SchemaMismatch, IncompatibleFit, NotFitted
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class FieldError(NamedTuple):
    """One wrong place in what was sent: a JSON pointer (or a line of a file) and what is wrong there."""

    pointer: str
    detail: str


class ForgetcastError(Exception):
    """Something went wrong in Forgetcast."""

    code = "error"
    retryable = False
    request_id: str | None = None  # of the request that the service answered so; its log has it

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: tuple[FieldError, ...] = (),
        location: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`location`: the path to look at instead; `retry_after`: seconds."""
        super().__init__(message or type(self).__doc__)
        self.errors = errors
        self.location = location
        self.retry_after = retry_after


class InvalidInput(ForgetcastError):
    """Numbers, rows or files cannot be used as they are."""


class WrongShape(InvalidInput):
    """Arrays that belong together differ in length."""

    code = "wrong_shape"


class NotFinite(InvalidInput):
    """A measured value is not a finite number."""

    code = "not_finite"


class BeyondBelief(InvalidInput):
    """A value is larger than forgetting can be: more than 10,000 nats per token either way."""

    code = "beyond_belief"


class WrongKind(InvalidInput):
    """An argument is of another kind than is needed: numbers, truth values, positions or names."""

    code = "wrong_kind"


class WrongRepeat(InvalidInput):
    """A repeat must name another task of the same matrix that is no repeat itself."""

    code = "wrong_repeat"


class NothingObserved(InvalidInput):
    """A row has no measured cell."""

    code = "nothing_observed"


class RepeatedTask(InvalidInput):
    """A task id appears twice."""

    code = "repeated_task"


class RepeatedExample(InvalidInput):
    """An upstream example appears twice."""

    code = "repeated_example"


class UnknownExample(InvalidInput):
    """A position lies outside the upstream set."""

    code = "unknown_example"


class UnknownMethod(InvalidInput):
    """No completion method, probe design or replay strategy has this name."""

    code = "unknown_method"


class OutOfRange(InvalidInput):
    """A number lies outside the range it may have."""

    code = "out_of_range"


class TooManyExamplesAsked(InvalidInput):
    """More upstream examples were asked for than are eligible."""

    code = "too_many_examples_asked"


class TooFewRows(InvalidInput):
    """A back-test needs at least three known rows."""

    code = "too_few_rows"


class MatrixEmpty(InvalidInput):
    """The matrix has no known row or no upstream example."""

    code = "matrix_empty"


class UnreadableMatrix(InvalidInput):
    """The file holds no forgetting matrix that can be read without unpickling."""

    code = "unreadable_matrix"


class PolicyInvalid(InvalidInput):
    """A policy of the gate cannot be read as one."""

    code = "policy_invalid"


class BadDataset(InvalidInput):
    """A line of the data cannot be used."""

    code = "bad_dataset"


class BadRequest(ForgetcastError):
    """The request is wrong as sent."""


class InvalidRequest(BadRequest):
    """The request does not have the promised form."""

    code = "invalid_request"


class UnknownReference(BadRequest):
    """The request names something that does not exist."""

    code = "unknown_reference"


class LimitExceeded(BadRequest):
    """The request is larger than this service admits."""

    code = "limit_exceeded"


class Sha256Mismatch(BadRequest):
    """The bytes do not have the sha256 that was named."""

    code = "sha256_mismatch"


class MethodNotAllowed(BadRequest):
    """This path does not answer to this method."""

    code = "method_not_allowed"


class UnsupportedMediaType(BadRequest):
    """The body's media type is not one that is read here."""

    code = "unsupported_media_type"


class NotFound(ForgetcastError):
    """What was named is not there."""


class UpstreamSetNotFound(NotFound):
    """No upstream set has this id."""

    code = "upstream_set_not_found"


class MatrixNotFound(NotFound):
    """No matrix has this id."""

    code = "matrix_not_found"


class RowNotFound(NotFound):
    """The matrix has no known row for this task."""

    code = "row_not_found"


class DatasetNotFound(NotFound):
    """No data set has this sha256."""

    code = "dataset_not_found"


class TaskNotFound(NotFound):
    """No task has this id."""

    code = "task_not_found"


class JobNotFound(NotFound):
    """No job has this id."""

    code = "job_not_found"


class GateNotFound(NotFound):
    """No verdict has this id."""

    code = "gate_not_found"


class ApiKeyNotFound(NotFound):
    """No API key has this id."""

    code = "api_key_not_found"


class RouteNotFound(NotFound):
    """There is nothing at this path."""

    code = "route_not_found"


class ModelNotFound(NotFound):
    """The base model's files are not where they should be."""

    code = "model_not_found"


class Conflict(ForgetcastError):
    """What was asked for does not go with what is stored."""


class IdInUse(Conflict):
    """This id is taken by something with other content."""

    code = "id_in_use"


class UpstreamSetSealed(Conflict):
    """The upstream set is sealed with other content; sets never change."""

    code = "upstream_set_sealed"


class UpstreamSetOpen(Conflict):
    """The upstream set has no examples yet."""

    code = "upstream_set_open"


class TextsMissing(Conflict):
    """The texts of upstream examples are needed here, and the set has none of them."""

    code = "texts_missing"


class ApiKeyEnded(Conflict):
    """The API key was revoked or has expired."""

    code = "api_key_ended"


class RowKnown(Conflict):
    """The task is a known row of its matrix, which changes as a whole."""

    code = "row_known"


class TaskExists(Conflict):
    """A task with this id exists with other content."""

    code = "task_exists"


class RecipeMismatch(Conflict):
    """The row was measured under another recipe or setting than the matrix."""

    code = "recipe_mismatch"


class JobActive(Conflict):
    """The task has a job that is not finished."""

    code = "job_active"


class JobEnded(Conflict):
    """The job has already ended."""

    code = "job_ended"


class NotMeasured(Conflict):
    """Nothing has been measured for this task yet."""

    code = "not_measured"


class FitFailed(Conflict):
    """This version of the matrix could not be fitted."""

    code = "fit_failed"
    older_version: tuple[str, int] | None = None  # as of FitPending


class VersionChanged(Conflict):
    """The row has another version than the one named in If-Match."""

    code = "version_changed"


class WriteConflict(Conflict):
    """Another request wrote the same thing at the same moment; send this one again."""

    code = "write_conflict"
    retryable = True


class IdempotencyConflict(Conflict):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class IdempotencyInFlight(Conflict):
    """A request with this idempotency key is still at work."""

    code = "idempotency_in_flight"
    retryable = True


class AccessDenied(ForgetcastError):
    """The caller may not do this."""


class Unauthenticated(AccessDenied):
    """A valid API key is needed."""

    code = "unauthenticated"


class Forbidden(AccessDenied):
    """The API key lacks the scope for this."""

    code = "forbidden"


class CrossSite(AccessDenied):
    """A service without API keys is for this machine alone, and for no page of another site."""

    code = "cross_site"


class TooManyRequests(ForgetcastError):
    """The caller has asked for more than it may have at a time."""

    retryable = True


class RateLimited(TooManyRequests):
    """Too many requests in too short a time."""

    code = "rate_limited"


class TooManyJobs(TooManyRequests):
    """As many jobs of this API key are waiting as may wait."""

    code = "too_many_jobs"


class Unavailable(ForgetcastError):
    """What was asked for is not to be had now; the same call may succeed later."""

    retryable = True


class FitPending(Unavailable):
    """This version of the matrix is not fitted yet."""

    code = "fit_pending"
    older_version: tuple[str, int] | None = (
        None  # matrix and version, when nobody makes that fit unless it is asked for
    )


class Busy(Unavailable):
    """The service is busy."""

    code = "busy"


class RequestTimeout(Unavailable):
    """The request took too long to arrive."""

    code = "request_timeout"


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"


class ServiceUnreachable(Unavailable):
    """The service does not answer."""

    code = "service_unreachable"


class WaitTimedOut(Unavailable):
    """The job did not end in the time given."""

    code = "wait_timed_out"
    retryable = False  # the caller's own time is over


class WorkerFailure(ForgetcastError):
    """A task cannot be fine-tuned or measured."""


class ModelMismatch(WorkerFailure):
    """The files of the base model are not those of the recorded revision."""

    code = "model_mismatch"


class ModelUnreadable(WorkerFailure):
    """Files of the base model are cut off or damaged, or do not belong together."""

    code = "model_unreadable"


class ModelUnreachable(WorkerFailure):
    """The hub that has the base model does not answer, and the worker's cache has not all of it."""

    code = "model_unreachable"


class UnsupportedModel(WorkerFailure):
    """The model cannot be fine-tuned or measured here."""

    code = "unsupported_model"


class NotForModel(WorkerFailure):
    """Recipe, setting or data ask for what this base model does not have."""

    code = "not_for_model"


class WillNotFit(WorkerFailure):
    """Fine-tuning this model under this recipe needs more memory than the worker's device has free."""

    code = "will_not_fit"


class LossNotFinite(WorkerFailure):
    """The fine-tuning loss became infinite or not a number."""

    code = "loss_not_finite"


class NothingToScore(WorkerFailure):
    """None of the upstream examples that a job should measure has a token that the setting scores."""

    code = "nothing_to_score"


class NotReproducible(WorkerFailure):
    """Fine-tuning again came to another model than the one the task's cells were measured with."""

    code = "not_reproducible"


class JobFailed(WorkerFailure):
    """The job ended without a measurement."""

    code = "job_failed"


class ServiceFailure(ForgetcastError):
    """The service failed, or gave an answer that this client cannot read."""


class Internal(ServiceFailure):
    """The service failed; its log has the request id."""

    code = "internal"
    retryable = True


class UnexpectedAnswer(ServiceFailure):
    """The service answered in a form this client does not know."""

    code = "unexpected_answer"


class SetupFailure(ForgetcastError):
    """What has to be set up before is missing, or does not fit this version of the code."""


class ConfigurationError(SetupFailure):
    """A setting is missing or cannot be used."""

    code = "configuration_error"


class ModelsUnreadable(SetupFailure):
    """The file that names the base models cannot be read."""

    code = "models_unreadable"


class SchemaMismatch(SetupFailure):
    """The database has another schema than this code; run `forgetcast migrate`."""

    code = "schema_mismatch"


class IncompatibleFit(SetupFailure):
    """Stored factors were made by another version of the model."""

    code = "incompatible_fit"


class NotFitted(SetupFailure):
    """The completer knows no rows yet."""

    code = "not_fitted"


def every_error(family: type[ForgetcastError] = ForgetcastError) -> Iterator[type[ForgetcastError]]:
    """The errors with a code of their own, of one family or of all."""
    for kind in family.__subclasses__():
        if "code" in vars(kind):
            yield kind
        yield from every_error(kind)


def error_for(code: str, otherwise: type[ForgetcastError] = ForgetcastError) -> type[ForgetcastError]:
    """The class with this code; `otherwise` for a code that this version does not know."""
    return _BY_CODE.get(code, otherwise)


_BY_CODE = {kind.code: kind for kind in every_error()}

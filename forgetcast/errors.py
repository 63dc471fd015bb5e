"""Everything that can go wrong, in domain words with a stable code. No HTTP numbers here.

ForgetcastError
  about numbers and rows     (Completion)
  about data and models      (Fine-tuning and measuring)
  about what is stored       (Unknown ids, Conflicts)
  about what was sent        (Requests)
  about who asks             (Access)
  about time and machines    (Availability, Client)
"""

from __future__ import annotations

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


# Completion


class MatrixEmpty(ForgetcastError):
    """The matrix has no known row or no upstream example."""

    code = "matrix_empty"


class WrongShape(ForgetcastError):
    """Arrays that belong together differ in length."""

    code = "wrong_shape"


class NotFinite(ForgetcastError):
    """A measured value is not a finite number."""

    code = "not_finite"


class NothingObserved(ForgetcastError):
    """A row has no measured cell."""

    code = "nothing_observed"


class RepeatedTask(ForgetcastError):
    """A task id appears twice."""

    code = "repeated_task"


class RepeatedExample(ForgetcastError):
    """An upstream example appears twice."""

    code = "repeated_example"


class UnknownExample(ForgetcastError):
    """A position lies outside the upstream set."""

    code = "unknown_example"


class UnreadableMatrix(ForgetcastError):
    """The file holds no forgetting matrix that can be read without unpickling."""

    code = "unreadable_matrix"


class TooManyExamplesAsked(ForgetcastError):
    """More upstream examples were asked for than are eligible."""

    code = "too_many_examples_asked"


class UnknownMethod(ForgetcastError):
    """No completion method, probe design or replay strategy has this name."""

    code = "unknown_method"


class OutOfRange(ForgetcastError):
    """A number lies outside the range it may have."""

    code = "out_of_range"


class TooFewRows(ForgetcastError):
    """A back-test needs at least three known rows."""

    code = "too_few_rows"


class IncompatibleFit(ForgetcastError):
    """Stored factors were made by another version of the model."""

    code = "incompatible_fit"


# Fine-tuning and measuring


class ModelNotFound(ForgetcastError):
    """The base model's files are not where they should be."""

    code = "model_not_found"


class ModelMismatch(ForgetcastError):
    """The files of the base model are not those of the recorded revision."""

    code = "model_mismatch"


class ModelUnreadable(ForgetcastError):
    """A file of the base model is cut off or damaged."""

    code = "model_unreadable"


class UnsupportedModel(ForgetcastError):
    """The model cannot be fine-tuned or measured here."""

    code = "unsupported_model"


class BadDataset(ForgetcastError):
    """A line of the data cannot be used."""

    code = "bad_dataset"


class LossNotFinite(ForgetcastError):
    """The fine-tuning loss became infinite or not a number."""

    code = "loss_not_finite"


class NotReproducible(ForgetcastError):
    """Fine-tuning again came to another model than the one the task's cells were measured with."""

    code = "not_reproducible"


class JobFailed(ForgetcastError):
    """The job ended without a measurement."""

    code = "job_failed"


# Unknown ids


class UpstreamSetNotFound(ForgetcastError):
    """No upstream set has this id."""

    code = "upstream_set_not_found"


class MatrixNotFound(ForgetcastError):
    """No matrix has this id."""

    code = "matrix_not_found"


class RowNotFound(ForgetcastError):
    """The matrix has no known row for this task."""

    code = "row_not_found"


class DatasetNotFound(ForgetcastError):
    """No data set has this sha256."""

    code = "dataset_not_found"


class TaskNotFound(ForgetcastError):
    """No task has this id."""

    code = "task_not_found"


class JobNotFound(ForgetcastError):
    """No job has this id."""

    code = "job_not_found"


class ApiKeyNotFound(ForgetcastError):
    """No API key has this id."""

    code = "api_key_not_found"


class RouteNotFound(ForgetcastError):
    """There is nothing at this path."""

    code = "route_not_found"


# Conflicts with what is stored


class IdInUse(ForgetcastError):
    """This id is taken by something with other content."""

    code = "id_in_use"


class UpstreamSetSealed(ForgetcastError):
    """The upstream set is sealed with other content; sets never change."""

    code = "upstream_set_sealed"


class UpstreamSetOpen(ForgetcastError):
    """The upstream set has no examples yet."""

    code = "upstream_set_open"


class TextsMissing(ForgetcastError):
    """The texts of upstream examples are needed here, and the set has none of them."""

    code = "texts_missing"


class ApiKeyEnded(ForgetcastError):
    """The API key was revoked or has expired."""

    code = "api_key_ended"


class RowKnown(ForgetcastError):
    """The task is a known row of its matrix, which changes as a whole."""

    code = "row_known"


class TaskExists(ForgetcastError):
    """A task with this id exists with other content."""

    code = "task_exists"


class RecipeMismatch(ForgetcastError):
    """The row was measured under another recipe or setting than the matrix."""

    code = "recipe_mismatch"


class JobActive(ForgetcastError):
    """The task has a job that is not finished."""

    code = "job_active"


class JobEnded(ForgetcastError):
    """The job has already ended."""

    code = "job_ended"


class NotMeasured(ForgetcastError):
    """Nothing has been measured for this task yet."""

    code = "not_measured"


class VersionChanged(ForgetcastError):
    """The row has another version than the one named in If-Match."""

    code = "version_changed"


class WriteConflict(ForgetcastError):
    """Another request wrote the same thing at the same moment; send this one again."""

    code = "write_conflict"
    retryable = True


class IdempotencyInFlight(ForgetcastError):
    """A request with this idempotency key is still at work."""

    code = "idempotency_in_flight"
    retryable = True


# Requests that are wrong as sent


class InvalidRequest(ForgetcastError):
    """The request does not have the promised form."""

    code = "invalid_request"


class UnknownReference(ForgetcastError):
    """The request names something that does not exist."""

    code = "unknown_reference"


class LimitExceeded(ForgetcastError):
    """The request is larger than this service admits."""

    code = "limit_exceeded"


class Sha256Mismatch(ForgetcastError):
    """The bytes do not have the sha256 that was named."""

    code = "sha256_mismatch"


class IdempotencyConflict(ForgetcastError):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"


class MethodNotAllowed(ForgetcastError):
    """This path does not answer to this method."""

    code = "method_not_allowed"


class UnsupportedMediaType(ForgetcastError):
    """The body's media type is not one that is read here."""

    code = "unsupported_media_type"


# Access


class Unauthenticated(ForgetcastError):
    """A valid API key is needed."""

    code = "unauthenticated"


class Forbidden(ForgetcastError):
    """The API key lacks the scope for this."""

    code = "forbidden"


class RateLimited(ForgetcastError):
    """Too many requests in too short a time."""

    code = "rate_limited"
    retryable = True


class TooManyJobs(ForgetcastError):
    """As many jobs of this API key are waiting as may wait."""

    code = "too_many_jobs"
    retryable = True


# Availability


class FitPending(ForgetcastError):
    """This version of the matrix is not fitted yet."""

    code = "fit_pending"
    retryable = True
    older_version: tuple[str, int] | None = (
        None  # matrix and version, when nobody makes that fit unless it is asked for
    )


class Busy(ForgetcastError):
    """The service is busy."""

    code = "busy"
    retryable = True


class RequestTimeout(ForgetcastError):
    """The request took too long to arrive."""

    code = "request_timeout"
    retryable = True


class SchemaMismatch(ForgetcastError):
    """The database has another schema than this code; run `forgetcast migrate`."""

    code = "schema_mismatch"


class DatabaseUnavailable(ForgetcastError):
    """The database does not answer."""

    code = "database_unavailable"
    retryable = True


class Internal(ForgetcastError):
    """The service failed; its log has the request id."""

    code = "internal"
    retryable = True


# Client and command line


class ServiceUnreachable(ForgetcastError):
    """The service does not answer."""

    code = "service_unreachable"
    retryable = True


class WaitTimedOut(ForgetcastError):
    """The job did not end in the time given."""

    code = "wait_timed_out"


class UnexpectedAnswer(ForgetcastError):
    """The service answered in a form this client does not know."""

    code = "unexpected_answer"


class ConfigurationError(ForgetcastError):
    """A setting is missing or cannot be used."""

    code = "configuration_error"


def error_for(code: str) -> type[ForgetcastError]:
    """The class with this code; ForgetcastError itself for a code that this version does not know."""
    return _BY_CODE.get(code, ForgetcastError)


_BY_CODE = {kind.code: kind for kind in ForgetcastError.__subclasses__()}

"""Wire shapes, shared by the service's routes and the client. Times are RFC 3339 UTC; forgetting is nats per token."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
DAY = 24 * 3600  # seconds
YEAR = 365 * DAY
Finite = Annotated[float, Field(allow_inf_nan=False)]

# Bidirectional marks let one id look like another in a terminal or a log.
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_example_id(value: str) -> str:
    """NFC, 1 to 512 bytes, no control or bidirectional characters; raises ValueError."""
    if not value or len(value.encode("utf-8", "surrogatepass")) > 512:
        raise ValueError("an example id has 1 to 512 bytes")
    if any(unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI for char in value):
        raise ValueError("an example id has no control, surrogate or bidirectional characters")
    if not unicodedata.is_normalized("NFC", value):
        raise ValueError("an example id is in Unicode normal form NFC")
    return value


def check_text(value: str) -> str:
    """No NUL and no half of a surrogate pair, which databases and files do not hold; raises ValueError."""
    if "\0" in value or (not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)):
        raise ValueError("the text holds NUL or half of a surrogate pair")
    return value


Text = Annotated[str, AfterValidator(check_text)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
ExampleId = Annotated[str, AfterValidator(check_example_id)]


class Shape(BaseModel):
    """Base of all wire shapes: unknown fields are refused, because a misspelt one would be ignored silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# What was measured, and how


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Lora(Shape):
    """LoRA adapter: rank, scale and the modules it is put on (peft's names; "all-linear" for every linear layer)."""

    rank: int = Field(ge=1, le=1024)
    alpha: float = Field(gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Annotated[Text, Field(max_length=128)] | list[Annotated[Text, Field(max_length=128)]] = "all-linear"


class Recipe(Shape):
    """How a task is fine-tuned. The seed is not part of it: every measured row records its own."""

    method: Literal["full", "lora"]
    learning_rate: float = Field(gt=0, le=1)
    steps: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(ge=1, le=4096)
    max_tokens: int = Field(ge=2, le=1_048_576, description="tokens of an example beyond this are cut")
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    dtype: Dtype = Dtype.BFLOAT16
    lora: Lora | None = None

    @model_validator(mode="after")
    def _lora_belongs_to_its_method(self) -> Recipe:
        if (self.method == "lora") != (self.lora is not None):
            raise ValueError('`lora` is given with method "lora" and only then')
        return self


class Setting(Shape):
    """How log-perplexity is measured. The device is provenance of a measurement, not part of its setting."""

    scored: Literal["all", "response"] = "response"
    max_tokens: int = Field(default=1024, ge=2, le=1_048_576)
    dtype: Dtype = Dtype.BFLOAT16
    chat_template_sha256: Sha256 | None = None


class Message(Shape):
    role: Literal["system", "user", "assistant", "tool"]
    content: Text


class UpstreamExample(Shape):
    """One line of an upstream set. Text or messages may stay with the user; then no worker can measure the set."""

    id: ExampleId
    text: Text | None = None
    messages: list[Message] | None = None
    domain: Text = Field(default="", max_length=128)
    tags: list[Annotated[Text, Field(max_length=128)]] = Field(default_factory=list, max_length=64)
    held_out: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> UpstreamExample:
        if self.text is not None and self.messages is not None:
            raise ValueError("an example has `text` or `messages`, not both")
        return self


class UpstreamSetCreate(Shape):
    id: Id | None = None


class UpstreamSet(Shape):
    id: Id
    sealed: bool
    n_examples: int | None
    n_held_out: int | None
    has_texts: bool | None
    sha256: Sha256 | None
    domains: dict[str, int]
    created_at: datetime


class MatrixCreate(Shape):
    id: Id | None = None
    upstream_set: Id
    model: Id
    recipe: Recipe
    setting: Setting = Setting()


class Quality(Shape):
    """What a forecast can be expected to be worth: leaving each known task out and forecasting it from probes."""

    method: str
    matrix_version: int
    n_tasks: int
    n_probes: int
    spearman: float
    spearman_popularity: float
    recall_5pct: float
    recall_5pct_popularity: float
    rmse: float = Field(description="nats per token, unprobed cells")
    rmse_popularity: float
    coverage: float = Field(description="share of unprobed cells inside their 90% interval")


class Matrix(Shape):
    id: Id
    upstream_set: Id
    model: Id
    model_revision: str
    recipe: Recipe
    setting: Setting
    version: int = Field(description="+1 whenever the known rows change")
    n_tasks: int = Field(description="known rows")
    n_examples: int
    fitted_version: int | None
    quality: Quality | None
    created_at: datetime


# Tasks, jobs and measurements


class Dataset(Shape):
    """Fine-tuning data, named by the sha256 of its bytes."""

    sha256: Sha256
    n_lines: int
    n_bytes: int


class Measure(StrEnum):
    PROBE = "probe"
    FULL = "full"
    NONE = "none"
    EXAMPLES = "examples"


class Design(StrEnum):
    MIXED = "mixed"
    OPTIMAL = "optimal"
    RANDOM = "random"


class Probe(Shape):
    place: int
    example_id: ExampleId
    domain: str
    at_random: bool
    expected_error: float | None = Field(description="of the cells outside, once it is measured; null without a fit")


class ProbeSet(Shape):
    """Probes in the order they are chosen: the first 10 of 30 are the 10. Errors are nats per token."""

    matrix: Id
    matrix_version: int | None = Field(description="whose fit chose them; null for random ones without a fit")
    design: Design
    seed: Seed
    domains: list[str] = Field(description="that the errors are about, and the choice; empty for all")
    expected_error: float | None = Field(description="before any probe")
    data: list[Probe]


class TaskCreate(Shape):
    id: Id | None = None
    matrix: Id
    dataset: Sha256 | None = None
    measure: Literal["probe", "full", "none"] = "probe"
    design: Design = Design.MIXED
    size: int = Field(default=30, ge=1, le=100_000, description="probes")
    probe_seed: Seed = 0
    seed: Seed = Field(default=1, description="of fine-tuning")
    family: Text | None = Field(default=None, max_length=128)
    n_examples: Count | None = None
    repeat_of: Id | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    hardware: Id = "any"
    deadline: AwareDatetime | None = None

    @model_validator(mode="after")
    def _a_job_needs_data(self) -> TaskCreate:
        if self.measure != "none" and self.dataset is None:
            raise ValueError('`dataset` is needed unless `measure` is "none"')
        return self


class Task(Shape):
    id: Id
    matrix: Id
    dataset: Sha256 | None
    measure: Measure
    design: Design | None = Field(description="that was used: random where there was no fit to design probes from")
    designed_from: int | None = Field(default=None, description="matrix version whose fit chose probes, if one did")
    size: int | None
    probe_seed: int | None
    seed: int
    family: str | None
    n_examples: int | None
    repeat_of: Id | None
    known: bool = Field(description="whether the completion learns from this row")
    row_version: int
    n_measured: int
    job: str | None = Field(description="the newest job")
    created_at: datetime


class JobCreate(Shape):
    measure: Literal["probe", "full", "examples"] = "probe"
    design: Design = Design.MIXED
    size: int = Field(default=30, ge=1, le=100_000)
    probe_seed: Seed = 0
    examples: list[ExampleId] | None = Field(default=None, max_length=100_000)
    priority: int = Field(default=0, ge=-100, le=100)
    hardware: Id = "any"
    deadline: AwareDatetime | None = None

    @model_validator(mode="after")
    def _examples_belong_to_their_measure(self) -> JobCreate:
        if (self.measure == "examples") != (self.examples is not None):
            raise ValueError('`examples` is given with measure "examples" and only then')
        return self


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Progress(Shape):
    """Where an attempt stands; `eta_s` is the time left in this phase."""

    phase: str
    step: int
    total: int
    loss: float | None = None
    eta_s: float | None = None


class JobError(Shape):
    """Why a job failed, or why its last attempt did; the README lists the codes."""

    code: str
    detail: str
    hint: str = Field(default="", description="what to do about it")
    last_code: str | None = Field(
        default=None, description='of the last attempt, where the code is "attempts_exhausted"'
    )


class Attempt(Shape):
    """One attempt at a job. One that was given back when its worker was stopped has the same number as the next."""

    attempt: int
    worker: str
    gpu: str | None
    outcome: str | None = Field(description='"succeeded", "cancelled", "given_back", an error code, or null: running')
    detail: str | None
    exit_status: int | None = Field(description="of the process; negative the signal that ended it")
    max_rss: int | None = Field(description="bytes it had in memory at most")
    started_at: datetime
    ended_at: datetime | None


class Job(Shape):
    id: str
    task: Id
    measure: Measure
    n_examples: int = Field(description="upstream examples to measure")
    design: Design | None = Field(default=None, description="of the probes, as used; null when examples were named")
    designed_from: int | None = Field(default=None, description="matrix version whose fit chose probes, if one did")
    state: JobState
    terminal: bool
    attempt: int
    max_attempts: int
    cancel_requested: bool
    progress: Progress | None
    error: JobError | None
    attempts: list[Attempt] = Field(default_factory=list)
    seconds: dict[str, float] | None = Field(description="time of each phase of the attempt that succeeded")
    priority: int
    hardware: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class Event(Shape):
    id: int
    type: Literal["message", "progress", "state"]
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, Any]
    created_at: datetime


class Cell(Shape):
    """One measured cell: log-perplexity before and after, or their difference."""

    example_id: ExampleId
    before: Finite | None = None
    after: Finite | None = None
    forgetting: Finite | None = None
    at_random: bool | None = Field(default=None, description="whether it was drawn at random, where cells differ")

    @model_validator(mode="after")
    def _one_form(self) -> Cell:
        given = (self.before is not None, self.after is not None, self.forgetting is not None)
        if given not in ((True, True, False), (False, False, True)):
            raise ValueError("a cell has `before` and `after`, or `forgetting`")
        return self

    @property
    def value(self) -> float:
        """After minus before, nats per token."""
        if self.forgetting is not None:
            return self.forgetting
        assert self.before is not None and self.after is not None
        return self.after - self.before


class MeasurementsCreate(Shape):
    setting: Setting
    recipe: Recipe
    source: Text = Field(default="", max_length=512)
    seed: Seed = 0
    probes_at_random: bool = Field(
        default=True, description="whether the examples were drawn at random, where a cell does not say it"
    )
    cells: list[Cell] = Field(min_length=1, max_length=1_000_000)


# Forecasts and replay sets


class Versions(Shape):
    """A forecast is a function of these three."""

    matrix_version: int
    row_version: int
    model_version: int


class Average(Shape):
    """Mean forgetting over some examples with its interval, nats per token."""

    mean: float
    low: float
    high: float


class DomainAverage(Average):
    domain: str
    n_examples: int
    n_measured: int


class Forecast(Versions):
    task: Id
    matrix: Id
    method: str
    level: float
    n_tasks: int
    n_examples: int
    n_measured: int
    row_mean: Average
    random_mean: Average | None = Field(
        default=None, description="by the randomly drawn probes alone, whatever the model says; null below two of them"
    )
    domains: list[DomainAverage]
    same_recipe: bool
    unlike_known: bool
    warnings: list[str]
    quality: Quality | None


class ForgottenExample(Shape):
    """A cell of a forecast. A measured one is returned as measured; `promised` says whether its interval is."""

    example_id: str
    domain: str
    forgetting: float
    low: float
    high: float
    place: int = Field(description="1 for the most forgotten")
    measured: bool
    promised: bool


class Forgotten(Versions):
    task: Id
    matrix: Id
    level: float
    data: list[ForgottenExample]


class ReplayExample(Shape):
    id: str
    weight: float = Field(description="its share of the softmax over all eligible examples")
    forgetting: float
    domain: str
    text: str | None = None
    messages: list[Message] | None = None


class ReplayFormat(StrEnum):
    """How a line of a replay set is written: as kept, or in a form that trainers read."""

    EXAMPLES = "examples"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt_completion"
    IDS = "ids"


class ReplayManifest(Versions):
    task: Id
    matrix: Id
    upstream_set: Id
    upstream_sha256: Sha256
    strategy: str
    size: int
    temperature: float
    seed: int
    min_per_domain: int
    max_weight: float | None = Field(description="largest share of the softmax that one example may hold; none if null")
    effective_sample_size: float = Field(description="examples that share the weight in effect, 1 / sum of squares")
    warnings: list[str]
    sha256: Sha256 = Field(description="of the ids and weights, one `id<TAB>weight` a line, whatever the format")
    format: str = Field(default=ReplayFormat.EXAMPLES, description="of the file that `body_sha256` is of")
    body_sha256: Sha256 | None = Field(default=None, description="of the file of this format")


class ReplaySet(Shape):
    manifest: ReplayManifest
    data: list[ReplayExample]


# Lists, keys, health and problems

T = TypeVar("T")


class Page(Shape, Generic[T]):
    """One page of a list; `next_cursor` is null on the last."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    next_cursor: str | None


class Scope(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    MEASURE = "measure"
    ADMIN = "admin"


class ApiKeyCreate(Shape):
    name: Annotated[Text, StringConstraints(min_length=1, max_length=128)]
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    expires_in: int | None = Field(default=None, ge=1, le=10 * YEAR, description="seconds; null: never")


class ApiKeyRotate(Shape):
    overlap: int = Field(default=DAY, ge=0, le=YEAR, description="seconds for which the old key goes on")


class ApiKey(Shape):
    """A key as it is listed: without its secret."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class ApiKeyCreated(ApiKey):
    key: str | None = Field(description="shown once; null when the answer is a replay of an earlier one")


class Caller(Shape):
    """Who asks, as the service sees it."""

    key: ApiKey | None = Field(description="null: a service without keys, which only this machine can reach")
    scopes: list[Scope] = Field(description="what may be done; `admin` includes the others")


class AuditEntry(Shape):
    id: int
    actor: str | None = Field(description="id of the API key, or `command line`; null: a service without keys")
    action: str
    target: str
    detail: dict[str, Any]
    created_at: datetime


class Ready(Shape):
    ready: bool
    missing: list[str] = Field(description="without these no request can be served: the answer is 503")
    warnings: list[str] = Field(default=[], description="requests are served, but jobs start late or not at all")


# Operation


class Model(Shape):
    id: str
    revision: str | None = Field(description="sha256 over the files; null until the first matrix names the model")


class Worker(Shape):
    id: str
    host: str
    hardware: list[str]
    gpu: str | None
    version: str
    job: str | None = Field(description="what it works on")
    alive: bool = Field(description="seen within one lease; a silent one is listed for ten")
    started_at: datetime
    seen_at: datetime


class WaitingJobs(Shape):
    """Jobs of one hardware class and priority that wait."""

    hardware: str
    priority: int
    n_jobs: int
    oldest_age_s: float
    starts_in_s: float | None = Field(
        description="until a job that is ordered now would start; null when no worker takes this class, "
        "or no job has succeeded yet"
    )


class RunningJob(Shape):
    job: str
    task: Id
    hardware: str
    worker: str
    attempt: int
    running_s: float
    progress: Progress | None


class Queue(Shape):
    n_queued: int
    n_running: int
    oldest_age_s: float | None
    job_s: float | None = Field(description="median of the jobs that succeeded last, from their start to their end")
    waiting: list[WaitingJobs] = Field(description="in the order in which they are taken")
    running: list[RunningJob] = Field(description="the longest first")


class ProblemField(Shape):
    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details; `code` is stable, `detail` is for people."""

    type: str
    code: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    retryable: bool
    errors: list[ProblemField] = Field(default_factory=list)

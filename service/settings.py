"""Settings, read once from FORGETCAST_* at start-up and handed down."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from forgetcast.errors import ConfigurationError
from forgetcast.folders import cache_folder, state_folder
from forgetcast.wording import sentence
from service.logs import LogFormat
from service.password_files import with_password

Positive = Annotated[timedelta, Field(gt=timedelta(0))]
NotNegative = Annotated[timedelta, Field(ge=timedelta(0))]


class Settings(BaseSettings):
    """What an operator may choose. Every field is the environment variable FORGETCAST_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="FORGETCAST_", env_ignore_empty=True, frozen=True)

    home: Path = Field(default_factory=state_folder, description="state folder: database, models.toml, logs")
    cache_dir: Path = Field(default_factory=cache_folder, description="what can be made again: models, memory maps")
    database_url: str = Field(default="", description="SQLAlchemy URL; empty: SQLite in the state folder")
    database_timeout: Positive = Field(
        default=timedelta(seconds=10), description="a Postgres silent for this long does not answer"
    )
    database_password_file: Path = Field(default=Path(), description="holds the password for a database_url without")
    redis_url: str = Field(default="", description="queue of job ids; empty: workers poll the database")
    redis_password_file: Path = Field(default=Path(), description="holds the password for a redis_url without")
    models: Path = Field(default=Path(), description="models.toml; empty: in the state folder")
    lease: Positive = Field(default=timedelta(seconds=60), description="a worker silent for this long loses its job")
    stall: Positive = Field(
        default=timedelta(minutes=15), description="a job without progress for this long is stopped"
    )
    fit_timeout: Positive = Field(
        default=timedelta(hours=1), description="a fit or a back-test may take so long; then others go on"
    )
    fit_memory_bytes: int = Field(
        default=0, ge=0, description="memory that a fit may take; 0: three quarters of the host's or the container's"
    )
    checkpoint: NotNegative = Field(default=timedelta(minutes=10), description="of fine-tuning that a crash may cost")
    keep_weights: NotNegative = Field(
        default=timedelta(days=1), description="fine-tuned weights stay in a worker's cache for so long"
    )
    drain_grace: NotNegative = Field(
        default=timedelta(seconds=25), description="for a job to save what it has, when its worker is stopped"
    )
    max_outage: NotNegative = Field(
        default=timedelta(minutes=15), description="a job goes on for this long while its worker is cut off"
    )
    simulated_gpus: int = Field(default=0, ge=0, description="workers pretend to have so many GPUs, and use the CPU")
    log_format: LogFormat = Field(default="auto", description="json, text, or auto: text on a terminal")
    drain_delay: NotNegative = Field(default=timedelta(0), description="still served after SIGTERM, /readyz being 503")
    max_body_bytes: int = Field(default=1_000_000, ge=1, description="of a JSON request")
    max_upload_bytes: int = Field(default=2_000_000_000, ge=1, description="of an uploaded set, row or data set")
    max_examples: int = Field(default=10_000_000, ge=1, description="upstream examples of one set")
    max_rows: int = Field(default=10_000, ge=1, description="known rows of one matrix")
    max_dataset_lines: int = Field(default=5_000_000, ge=1, description="lines of one fine-tuning data set")
    max_steps: int = Field(default=100_000, ge=1, description="fine-tuning steps of a recipe")
    forecast_memory_bytes: int = Field(default=1 << 29, ge=0, description="completed rows and answers that are kept")
    max_queued_jobs: int = Field(default=10_000, ge=0, description="waiting jobs of one API key")
    concurrent_requests: int = Field(default=64, ge=1, description="beyond this a request is answered 503")
    waiting_requests: int = Field(default=1000, ge=0, description="event streams and ?wait=; beyond this 503")
    body_idle: Positive = Field(default=timedelta(seconds=10), description="a body may pause for so long")
    body_rate: int = Field(default=1000, ge=1, description="bytes a second that a body brings, after its first 30 s")
    rate_limit: str = Field(default="300000/minute", description="requests of one API key")
    failed_logins: str = Field(default="20/minute", description="wrong keys from one address")

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'forgetcast.db'}"

    @property
    def models_file(self) -> Path:
        return self.models if self.models.name else self.home / "models.toml"


def read_settings() -> Settings:
    """The settings of this process. Raises ConfigurationError naming the variable that cannot be used."""
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        variable = "_".join(["FORGETCAST", *map(str, first["loc"])]).upper()
        raise ConfigurationError(f"{variable} {sentence(first)}") from error
    urls = {}
    if settings.database_password_file.name:
        urls["database_url"] = with_password(settings.database_url, settings.database_password_file, "DATABASE")
    if settings.redis_password_file.name:
        urls["redis_url"] = with_password(settings.redis_url, settings.redis_password_file, "REDIS")
    return settings.model_copy(update=urls)

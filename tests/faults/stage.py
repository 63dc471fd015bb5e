"""Servers with a small world on them, and fresh deployments over copies of it."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.storage.database import Database
from tests.faults.deployment import Deployment, make_home, make_world
from tests.faults.proxy import FaultProxy
from tests.faults.servers import Postgres, Redis, stop_all


@dataclass(frozen=True)
class Servers:
    """The servers of this run, each behind its proxy, and a database on Postgres that the others are copied from."""

    postgres: Postgres
    redis: Redis
    to_postgres: FaultProxy
    to_redis: FaultProxy
    home: Path

    def heal(self) -> None:
        """Up, reachable, and with an empty queue."""
        for proxy in (self.to_postgres, self.to_redis):
            proxy.heal()
        self.postgres.start()
        self.redis.start()
        client = self.redis.client()
        client.flushall()
        client.close()

    def home_in(self, folder: Path) -> Path:
        """A state folder of its own, with the same registered model."""
        home = folder / "home"
        home.mkdir()
        shutil.copy(self.home / "models.toml", home)
        return home

    def deploy(self, folder: Path, *, proxied: bool = True) -> Deployment:
        """A fresh database on Postgres, and Redis; processes reach both by way of the proxies, or directly."""
        name = f"fault_{uuid.uuid4().hex[:12]}"
        self.postgres.execute(f"CREATE DATABASE {name} TEMPLATE world")
        return Deployment(
            home=self.home_in(folder),
            database_url=self.postgres.url(name, self.to_postgres.port if proxied else None),
            database=Database(self.postgres.url(name)),
            redis_url=self.redis.url(self.to_redis.port if proxied else None),
        )


@contextmanager
def own_servers(host: str = "127.0.0.1") -> Iterator[Servers]:
    """Start both servers; stop them and remove their files at the end. Raises ServerMissing."""
    folder = Path(tempfile.mkdtemp(prefix="forgetcast-faults-"))
    folder.chmod(0o711)  # Postgres runs as another user
    servers: list[Postgres | Redis] = []
    try:
        for kind in (Postgres, Redis):
            servers.append(kind(folder, host))
            servers[-1].start()
        postgres, redis = servers
        assert isinstance(postgres, Postgres) and isinstance(redis, Redis)
        home = make_home(folder / "home")
        postgres.execute("CREATE DATABASE world")
        database = Database(postgres.url("world"))
        make_world(database, home)
        database.close()
        yield Servers(postgres, redis, FaultProxy(postgres.port, host), FaultProxy(redis.port, host), home)
    finally:
        stop_all(*servers)
        shutil.rmtree(folder, ignore_errors=True)

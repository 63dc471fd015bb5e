"""Which URLs a database is opened with, and what is said of the others."""

import pytest
import sqlalchemy as sa

from forgetcast.errors import ConfigurationError
from service.storage.database import Database


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_may_be_named_as_platforms_do(postgres_url, scheme):
    named = sa.make_url(postgres_url).set(drivername=scheme)
    database = Database(named.render_as_string(hide_password=False))
    with database.read() as session:
        assert session.scalar(sa.text("SELECT 1")) == 1
    database.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("garbage", "no URL"),
        ("user:secret@host/forgetcast", "no URL"),
        ("mysql://user:secret@host/forgetcast", "begins with mysql://"),
        ("postgresql+psycopg2://user:secret@host/forgetcast", r"begins with postgresql\+psycopg2://"),
        ("postgresql://user:secret@host:port/forgetcast", "no URL"),
        ("postgresql://user:secret@host/forgetcast?pgbouncer=true", '"pgbouncer"'),
        ("sqlite://folder/forgetcast.db", "no URL"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        Database(url)
    line = str(refused.value)
    assert line.startswith("FORGETCAST_DATABASE_URL") and "postgresql+psycopg://" in line
    assert "secret" not in line and "\n" not in line

"""Two transactions that write the same thing at the same moment."""

import io
import threading

import numpy as np
import sqlalchemy as sa

from service.operations.datasets import store_dataset
from service.storage.blobs import put_blob, read_blob, sha256_of_file
from service.storage.tables import Dataset
from service.storage.tasks import add_base_values, read_base_values

KEY = ("u", "r", "0" * 64)


def both_at_once(database, *writes):
    """Each write in a transaction of its own; each begins before any has committed, where the database allows it."""
    begun = threading.Barrier(len(writes) if not database.is_sqlite else 1)
    raised = []

    def run(write):
        try:
            with database.transaction() as session:
                session.execute(sa.text("SELECT 1"))
                begun.wait(30)
                write(session)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(write,)) for write in writes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert raised == []


def test_base_values_of_two_jobs_that_end_together_are_all_kept(database):
    with database.transaction() as session:
        session.execute(sa.text("INSERT INTO upstream_set (id, domains, created_at) VALUES ('u', '{}', 0)"))

    def measured(positions, value):
        values = np.full(len(positions), value, np.float32)
        return lambda session: add_base_values(session, *KEY, 5, np.array(positions, np.intp), values)

    both_at_once(database, measured([0, 1], 1.0), measured([2, 3], 2.0))
    both_at_once(database, measured([3, 4], 3.0))
    with database.read() as session:
        kept = read_base_values(session, *KEY, 5)
    assert kept.tolist() == [1.0, 1.0, 2.0, 2.0, 3.0]


def test_the_same_data_set_may_be_sent_twice_at_once(database):
    content = b'{"text": "the same"}\n' * 10
    digest = sha256_of_file(io.BytesIO(content))

    def send(session):
        store_dataset(session, digest, io.BytesIO(content), 100)

    both_at_once(database, send, send, send)
    with database.read() as session:
        assert session.scalars(sa.select(Dataset.n_lines)).all() == [10]
        assert b"".join(read_blob(session, digest)) == content


def test_the_same_bytes_are_stored_once(database):
    with database.transaction() as session:
        assert put_blob(session, io.BytesIO(b"bytes")) == put_blob(session, io.BytesIO(b"bytes"))

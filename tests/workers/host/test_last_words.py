"""What a failed child leaves in our log, and what it does not."""

import os

from workers.host.child import LOG
from workers.host.last_words import MOST_KEPT, frames, keep_log, read_last_words

WRITTEN = """\
loading
Traceback (most recent call last):
  File "/srv/workers/attempt/run.py", line 12, in main
    read("a user's own text")
  File "/srv/workers/attempt/texts/tokens.py", line 3, in read
    raise ValueError(f"cannot read {text}")
ValueError: cannot read a user's own text
"""


def test_frames_say_where_it_was_and_nothing_that_a_user_sent():
    assert frames(WRITTEN) == ["run.py:12 main", "tokens.py:3 read", "ValueError"]
    assert frames("Segmentation fault\n") == []


def test_the_whole_log_is_kept_for_the_newest_failures(tmp_path):
    for number in range(MOST_KEPT + 2):
        folder = tmp_path / "jobs" / f"job_{number:02}"
        folder.mkdir(parents=True)
        (folder / LOG).write_text(WRITTEN)
        kept = keep_log(folder)
        assert kept is not None and kept.read_text() == WRITTEN
        os.utime(kept, (number, number))
    assert len(list((tmp_path / "failed").iterdir())) == MOST_KEPT
    assert read_last_words(folder) == frames(WRITTEN)


def test_a_child_without_a_log_is_no_failure_of_ours(tmp_path):
    (tmp_path / "jobs" / "job_0").mkdir(parents=True)
    assert read_last_words(tmp_path / "jobs" / "job_0") == []
    assert keep_log(tmp_path / "jobs" / "job_0") is None

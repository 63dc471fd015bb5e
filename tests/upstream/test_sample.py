"""From what people have to an upstream set: shares of domains, no duplicates, held-out examples, the same again."""

from __future__ import annotations

import json

import pyarrow
import pyarrow.parquet
import pytest

from forgetcast.errors import BadDataset
from forgetcast.upstream import Columns, draw_sample, find_sources
from forgetcast.upstream.allocation import allocate
from forgetcast.upstream.passages import passages

SUBJECTS = ["tide", "harbour", "lantern", "orchard", "gravel", "ember", "saddle", "thicket", "beacon", "copper"]
VERBS = ["turns", "hides", "lifts", "meets", "carries", "follows"]


def sentence(number: int, about: str) -> str:
    """Long enough that two of them share few shingles."""
    words = [SUBJECTS[(number * 7 + place * (number + 3)) % 10] + VERBS[(number + place) % 6] for place in range(12)]
    return f"{about} {number} " + " ".join(words)


def alpaca(number: int, kind: str) -> dict[str, str]:
    return {"instruction": f"About {kind} {number}?", "input": "", "output": sentence(number, kind), "category": kind}


@pytest.fixture
def mix(tmp_path):
    """300 lines of three domains, of which one is rare."""
    lines = [alpaca(number, "code" if number < 200 else "poems" if number < 290 else "law") for number in range(300)]
    path = tmp_path / "mix.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def drawn(path, size, **options):
    return draw_sample(find_sources(str(path)), size, Columns(domain="category"), **options)


def test_domains_get_their_share_and_small_ones_not_less_than_a_quarter_of_an_even_one():
    assert allocate({"a": 900, "b": 90, "c": 10}, 100) == {"a": 84, "b": 8, "c": 8}
    assert allocate({"a": 900, "b": 3}, 100) == {"a": 97, "b": 3}
    assert allocate({"a": 5, "b": 3}, 100) == {"a": 5, "b": 3}
    assert sum(allocate({str(n): n * n + 1 for n in range(30)}, 777).values()) == 777


def test_a_sample_is_stratified_and_a_tenth_of_it_is_held_out(mix):
    found = drawn(mix, 60)
    by_domain = {name: sum(line["domain"] == name for line in found.lines) for name in ("code", "poems", "law")}
    assert by_domain == {"code": 38, "poems": 17, "law": 5}
    assert sum(line["held_out"] for line in found.lines) == 6
    assert len({line["id"] for line in found.lines}) == 60
    assert found.n_read == {"code": 200, "poems": 90, "law": 10}


def test_instructions_become_conversations_in_the_words_of_their_layout(mix):
    turns = drawn(mix, 10).lines[0]["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant"]
    assert turns[0]["content"].startswith("Below is an instruction") and "About code" in turns[0]["content"]


def test_the_same_file_gives_the_same_sample_and_a_larger_one_has_most_of_the_smaller(mix):
    small, again, large = drawn(mix, 30), drawn(mix, 30), drawn(mix, 60)
    assert small.lines == again.lines
    ids = [{line["id"] for line in one.lines} for one in (small, large)]
    assert ids[0] <= ids[1]
    assert {line["id"] for line in drawn(mix, 30, seed=1).lines} != ids[0]


def test_near_duplicates_are_left_out_and_counted(tmp_path):
    lines = []
    for number in range(20):
        said = " ".join(sentence(number + 100 * part, f"harbour{number}") for part in range(4))
        words = said.split()
        lines += [{"text": said}, {"text": said.upper()}, {"text": " ".join([*words[:-1], words[-1] + "ly"])}]
    path = tmp_path / "twice.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = draw_sample(find_sources(str(path)), 60)
    assert found.near
    assert len({line["text"].split()[0].lower() for line in found.lines}) == len(found.lines) == 20
    assert found.n_duplicates == 40


def test_texts_are_cut_into_passages_and_folders_are_domains(tmp_path):
    for folder in ("manuals", "letters"):
        (tmp_path / folder).mkdir()
        for number in range(3):
            paragraphs = [sentence(number * 10 + place, folder) for place in range(6)]
            (tmp_path / folder / f"{number}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")
    found = draw_sample(find_sources(str(tmp_path)), 100, n_words=28)
    assert set(found.n_read) == {"manuals", "letters"}
    assert all(15 <= len(line["text"].split()) <= 28 for line in found.lines)
    assert found.n_read["manuals"] == 9  # two paragraphs of 14 words each


def test_a_long_paragraph_is_cut_between_words_and_nothing_is_lost():
    words = [f"word{number}" for number in range(100)]
    cut = list(passages(" ".join(words), 40))
    assert [len(piece.split()) for piece in cut] == [40, 40, 20]
    assert " ".join(cut).split() == words


def test_parquet_with_columns_of_its_own_and_a_path_into_objects(tmp_path):
    rows = [{"q": f"Why {n}?", "a": sentence(n, "answer"), "meta": {"topic": f"t{n % 2}"}, "key": n} for n in range(20)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "own.parquet")
    columns = Columns(domain="meta.topic", id="key", prompt="q", completion="a")
    found = draw_sample(find_sources(str(tmp_path / "own.parquet")), 10, columns)
    assert found.n_read == {"t0": 10, "t1": 10}
    line = found.lines[0]
    assert line["messages"][0]["content"] == f"Why {line['id']}?"


def test_a_data_set_that_was_saved_to_disk_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"text": sentence(n, "saved"), "domain": "d"} for n in range(12)]
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(str(tmp_path / "set"))
    found = draw_sample(find_sources(str(tmp_path / "set")), 5)
    assert len(found.lines) == 5 and found.n_read == {"d": 12}


def test_what_cannot_be_used_is_left_out_and_named(tmp_path):
    path = tmp_path / "odd.jsonl"
    good = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": sentence(1, "x")}]}]
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    called = {"messages": [{"role": "assistant", "content": "a", "tool_calls": [call]}]}
    empty = {"prompt": "a", "completion": ""}
    path.write_text("".join(json.dumps(line) + "\n" for line in [*good, called, empty, {"nothing": 1}]))
    found = draw_sample(find_sources(str(path)), 5)
    assert len(found.lines) == 1
    assert [said.partition(":")[0] for said in found.spoilt] == ["line 2, field messages", "line 3", "line 4"]


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        ('{"text": "a b"}\n', Columns(domain="kind"), "no record has 'kind'; there are text"),
        ('{"nothing": 1}\n', Columns(), "no example could be used; the first: line 1"),
        ('{"text": "a"}\n{"text": \n', Columns(), "not JSON"),
        ('{"text": "a b", "id": "x"}\n' * 2 + '{"text": "c d", "id": "x"}\n', Columns(id="id"), "appears twice"),
    ],
)
def test_a_file_that_gives_nothing_says_why(tmp_path, content, columns, said):
    (tmp_path / "f.jsonl").write_text(content)
    with pytest.raises(BadDataset, match=said):
        draw_sample(find_sources(str(tmp_path / "f.jsonl")), 5, columns)


def test_a_column_of_ids_is_no_column_of_domains(tmp_path):
    path = tmp_path / "f.jsonl"
    path.write_text("".join(json.dumps({"text": sentence(n, "x"), "key": f"k{n}"}) + "\n" for n in range(600)))
    with pytest.raises(BadDataset, match="more than 500 values"):
        draw_sample(find_sources(str(path)), 5, Columns(domain="key"))


def test_a_name_that_is_nowhere_is_refused(tmp_path):
    with pytest.raises(BadDataset, match="no such file or folder"):
        find_sources(str(tmp_path / "not here"))
    with pytest.raises(BadDataset, match="has no data"):
        find_sources(str(tmp_path))

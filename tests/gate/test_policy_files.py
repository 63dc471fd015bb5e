"""Policies: what is read, what is refused, and what the refusal says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from forgetcast.errors import PolicyInvalid
from forgetcast.gate import policy_files
from forgetcast.gate.policy import Severity
from forgetcast.gate.policy_files import json_schema, parse_policy, preset, read_policy

ONE = "assertions: [{metric: mean_forgetting, max: 0.05}]"

# A policy that is wrong, the path of what is, and what is said of it.
MISTAKES = [
    ("assertions: [{metric: mean_forgeting, max: 1}]", "/assertions/0/metric", "did you mean 'mean_forgetting'?"),
    ("asertions: []", "/asertions", "did you mean 'assertions'?"),
    (f"{ONE}\nmin_quality: {{covarage: 0.8}}", "/min_quality/covarage", "did you mean 'coverage'?"),
    ("assertions: [{metric: mean_forgetting, maximum: 1}]", "/assertions/0/maximum", "did you mean 'max'?"),
    ("assertions: [{metric: quantile, q: 95, max: 0.3}]", "/assertions/0/q", "did you mean 0.95?"),
    ("assertions: [{metric: quantile, max: 0.3}]", "/assertions/0", "quantile needs `q`"),
    ("assertions: [{metric: mean_forgetting, q: 0.5, max: 0.3}]", "/assertions/0", "mean_forgetting has no `q`"),
    ("assertions: [{metric: share_above, above: 0.1, max: 5}]", "/assertions/0", "did you mean 0.05?"),
    ("assertions: [{metric: count_above, above: 0.1, max: 0.5}]", "/assertions/0", "share_above takes shares"),
    ("assertions: [{metric: mean_forgetting, max: 50}]", "/assertions/0", "nats per token"),
    ('assertions: [{metric: mean_forgetting, max: "0.05"}]', "/assertions/0/max", "valid number"),
    ("assertions: [{metric: mean_forgetting, max: true}]", "/assertions/0/max", "valid number"),
    ("assertions: [{metric: mean_forgetting, max: .nan}]", "/assertions/0/max", "finite"),
    ("assertions: [{metric: mean_forgetting, max: 0.1, severity: eror}]", "/assertions/0/severity", "'error'?"),
    ("assertions: [{metric: mean_forgetting}]", "/assertions/0", "has no limit"),
    ("assertions: [{metric: mean_forgetting, threshold: 0.1}]", "", "`threshold` needs `baseline`"),
    ("assertions: [{metric: protected, max: 0.1}]", "/assertions/0", "needs `ids` or `tags`"),
    ("assertions: [{metric: protected, ids: [a], domain: code, max: 1}]", "/assertions/0", "leave `domain` out"),
    ("assertions: [{metric: mean_forgetting, max: 1, severity: off}]", "", "every assertion is off"),
    ("assertions: [{metric: mean_forgetting, max: 1}, {metric: mean_forgetting, max: 2}]", "", "`name`"),
    ("assertions: []", "/assertions", "at least 1"),
    ('assertions: [{metric: mean_forgetting, max: 1, name: "a\\nb"}]', "/assertions/0/name", "one line"),
    (f"level: 95\n{ONE}", "/level", "less than or equal"),
    (f"version: 2\n{ONE}", "/version", "1"),
]


@pytest.mark.parametrize(("text", "pointer", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_path_and_alone(text, pointer, said):
    with pytest.raises(PolicyInvalid) as error:
        parse_policy(text, as_json=False, where="forgetting.yml")
    assert [one.pointer for one in error.value.errors] == [pointer]
    assert said in error.value.errors[0].detail
    assert str(error.value).startswith("forgetting.yml: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "stands twice"),
        ("a: &x [1]\nb: *x", "aliases are not read"),
        ("a: [", "no YAML"),
        ("a: !!python/object:os.system x", "no YAML"),
        ("- 1", "is no policy"),
        ("", "is no policy"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_a_text_that_is_no_policy_is_refused_in_words(text, said):
    with pytest.raises(PolicyInvalid, match=said):
        parse_policy(text, as_json=False)


def test_json_and_yaml_of_the_same_policy_have_one_version(tmp_path):
    content = {"level": 0.95, "assertions": [{"max": 0.05, "metric": "mean_forgetting"}]}
    (tmp_path / "policy.json").write_text(json.dumps(content))
    (tmp_path / "policy.yml").write_text(f"# why\n{ONE}\n")
    assert read_policy(tmp_path / "policy.json").sha256 == read_policy(tmp_path / "policy.yml").sha256
    other = parse_policy("assertions: [{metric: mean_forgetting, max: 0.06}]", as_json=False)
    assert other.sha256 != read_policy(tmp_path / "policy.yml").sha256


def test_json_needs_no_yaml(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_files, "_yaml", lambda *_: pytest.fail("read as YAML"))
    (tmp_path / "policy").write_text('{"assertions": [{"metric": "mean_forgetting", "max": 0.05}]}')
    assert read_policy(tmp_path / "policy").asked


def test_off_without_quotes_is_the_word():
    text = f"{ONE[:-1]}, {{metric: quantile, q: 0.5, max: 1, severity: off}}]"
    assert [one.severity for one in parse_policy(text, as_json=False).assertions] == [Severity.ERROR, Severity.OFF]


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(PolicyInvalid, match="No such file"):
        read_policy(tmp_path / "none.yml")


def test_the_recommended_policy_is_one_and_its_schema_takes_it():
    import yaml

    assert len(parse_policy(preset(), as_json=False).asked) == 4
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(preset()))


def test_the_published_schema_is_the_one_of_the_code():
    published = Path(__file__).parents[2] / "docs" / "policy.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == json_schema(), "`forgetcast gate --schema` writes it"


def test_the_schema_refuses_what_the_reader_refuses_by_shape():
    validator = jsonschema.Draft202012Validator(json_schema())
    assert not validator.is_valid({"assertions": [{"metric": "mean_forgetting", "maximum": 1}]})
    assert not validator.is_valid({"asertions": []})

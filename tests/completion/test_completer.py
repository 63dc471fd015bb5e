"""The completion as a notebook uses it: everything by id."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from forgetcast import CompletedRow, Completer, ForgettingMatrix, errors
from forgetcast.completion import METHODS, expected_error, fit
from forgetcast.completion.methods.blend import BLEND
from forgetcast.completion.methods.fitted_method import MODEL_VERSION
from tests.completion.conftest import make_forgetting

pd = pytest.importorskip("pandas")

DOMAINS = ("code", "poems", "letters")
N_EXAMPLES = 90


def named_matrix(forgetting=None, observed=None, **about):
    """Known rows with ids and domains: example code-00 is the first, poems-01 the second, letters-02 the third."""
    forgetting = make_forgetting(14, N_EXAMPLES) if forgetting is None else forgetting
    domains = [DOMAINS[j % 3] for j in range(forgetting.shape[1])]
    return ForgettingMatrix.from_arrays(
        forgetting,
        observed=observed,
        task_ids=[f"task-{i}" for i in range(len(forgetting))],
        example_ids=[f"{domain}-{j:02d}" for j, domain in enumerate(domains)],
        domains=domains,
        **about,
    )


@pytest.fixture(scope="module")
def everything():
    """Fifteen rows of one kind, the last of which plays the new task."""
    return make_forgetting(15, N_EXAMPLES)


@pytest.fixture(scope="module")
def matrix(everything):
    return named_matrix(everything[:-1])


@pytest.fixture(scope="module")
def completer(matrix):
    return Completer().fit(matrix)


@pytest.fixture
def truth(everything, matrix):
    """Forgetting of the new task by id."""
    return dict(zip(matrix.example_ids, everything[-1].tolist(), strict=True))


def measured(truth, ids):
    return {name: truth[name] for name in ids}


# What is asked, by position and by id


def test_a_row_by_id_is_the_row_by_position(matrix, truth):
    completer, fitted = Completer("factor", level=0.8).fit(matrix), fit(matrix, "factor")
    positions = np.array([4, 30, 71, 2])
    cells = measured(truth, [matrix.example_ids[j] for j in positions])
    row = completer.predict(cells, random=[])
    expected = fitted.forecast(
        positions, np.array(list(cells.values())), level=0.8, random_probes=np.zeros(0, dtype=np.intp)
    )
    assert row.values.tolist() == expected.mean.tolist()
    assert (row.low.tolist(), row.high.tolist()) == (expected.low.tolist(), expected.high.tolist())
    assert np.flatnonzero(row.measured).tolist() == [2, 4, 30, 71]


def test_a_dict_a_series_and_two_sequences_are_the_same_cells(completer, truth):
    cells = measured(truth, completer.probes(12))
    ids, values = list(cells), list(cells.values())
    series = pd.Series(cells, dtype="float32").astype("float64")
    expected = completer.predict(cells).values
    forms = [(pd.Series(cells),), (ids, values), (np.array(ids), np.array(values)), (pd.Series(ids), pd.Series(values))]
    assert all(completer.predict(*form).values.tolist() == expected.tolist() for form in forms)
    assert completer.predict(series).values == pytest.approx(expected, abs=1e-6)


def test_ids_may_be_whole_numbers_where_the_matrix_has_numbers():
    completer = Completer("additive").fit(ForgettingMatrix.from_arrays(make_forgetting(6, 20)))
    assert completer.predict({3: 0.1}).values.tolist() == completer.predict({"3": 0.1}).values.tolist()


def test_nothing_measured_is_what_tasks_forget_on_average(completer, matrix):
    row = completer.predict({})
    assert row.values == pytest.approx(matrix.forgetting.mean(axis=0), abs=0.01)
    assert row.mean_interval() is None
    assert "unmeasured" in row.warnings[0]


def test_the_level_is_that_of_the_completer_unless_it_is_said(matrix, truth):
    completer = Completer("factor", level=0.5).fit(matrix)
    cells = measured(truth, completer.probes(10))
    usual, wide = completer.predict(cells), completer.predict(cells, level=0.99)
    assert (usual.level, wide.level) == (0.5, 0.99)
    assert (wide.high - wide.low > usual.high - usual.low)[~usual.measured].all()


# Probes


def test_probes_are_ids_with_what_each_of_them_buys(completer, matrix):
    probes, by_position = completer.probes(10), completer.fitted.probes(10)
    assert list(probes) == [matrix.example_ids[j] for j in by_position.positions]
    assert list(probes.at_random) == [matrix.example_ids[j] for j in by_position.positions[by_position.at_random]]
    errors_by_position = expected_error(completer.fitted.factors, by_position.positions)
    assert probes.expected_error.tolist() == errors_by_position.tolist()
    assert (len(probes), probes[0] in probes) == (10, True)
    assert repr(probes).startswith("ProbeList(10 examples, 5 of them drawn at random; expected error 0.0")


def test_probes_become_a_frame_by_id(completer):
    probes = completer.probes(6)
    frame = probes.to_frame()
    assert frame.index.tolist() == list(probes.ids)
    assert frame.columns.tolist() == ["domain", "at_random", "expected_error"]
    assert frame.index[frame.at_random].tolist() == list(probes.at_random)


def test_probes_may_be_chosen_for_a_domain(completer):
    found = completer.probes(6, design="optimal", domains=["poems"])
    everywhere = completer.probes(6, design="optimal")
    assert found.at_random == ()
    assert found.ids != everywhere.ids
    assert completer.probes(6, design="optimal", domains="poems").ids == found.ids


def test_the_seed_draws_the_probes(matrix):
    first, second = (Completer("additive", seed=seed).fit(matrix).probes(20, design="random") for seed in (0, 1))
    assert first.ids != second.ids


# Which of the measured cells count as drawn at random


def test_what_probes_chose_for_what_it_tells_does_not_count_as_random(matrix, truth):
    completer = Completer("factor").fit(matrix)
    probes = completer.probes(20)
    chosen = [name for name in probes if name not in probes.at_random]
    assert completer.predict(measured(truth, probes)).n_random == 10
    assert completer.predict(measured(truth, probes[:8])).n_random == 4  # a beginning
    assert completer.predict(measured(truth, [*probes.at_random, *chosen[1:]])).n_random == 10  # one could not be had
    others = [name for name in matrix.example_ids if name not in probes]
    assert completer.predict(measured(truth, [*chosen, *others])).n_random == len(others)


def test_the_usual_probes_are_recognised_where_they_were_not_asked_for(matrix, truth):
    probes = Completer("factor").fit(matrix).probes(20)
    assert Completer("factor").fit(matrix).predict(measured(truth, probes)).n_random == 10


def test_of_several_sets_the_newest_that_has_all_cells_says_it(matrix, truth):
    completer = Completer("factor").fit(matrix)
    mixed, drawn = completer.probes(20), completer.probes(20, design="random")
    completer.probes(20, design="optimal")
    assert completer.predict(measured(truth, mixed)).n_random == 10
    assert completer.predict(measured(truth, drawn)).n_random == 20


def test_cells_of_ones_own_count_as_random(matrix, truth):
    own = matrix.example_ids[::2]
    assert Completer("factor").fit(matrix).predict(measured(truth, own)).n_random == len(own)


def test_whoever_knows_says_which_were_drawn(completer, truth):
    cells = measured(truth, completer.probes(12))
    assert completer.predict(cells, random=list(cells)[:5]).n_random == 5
    assert completer.predict(cells, random=completer.probes(12).at_random).n_random == 6
    assert completer.predict(cells, random=[]).mean_interval() is None


# The completed row


def test_a_row_says_in_a_line_how_far_it_may_be_trusted(completer, truth):
    row = completer.predict(measured(truth, completer.probes(20)))
    assert re.fullmatch(
        r"CompletedRow\(90 examples, 20 measured \(10 at random\); "
        r"mean [+-]0\.\d{3}, 90% [+-]0\.\d{3} to [+-]0\.\d{3}; like known tasks\)",
        repr(row),
    )
    assert [warning.partition(":")[0] for warning in row.warnings] == ["few_random_probes"]
    assert completer.predict(measured(truth, completer.probes(30))).warnings == []


def test_a_row_unlike_all_known_ones_says_what_is_left_to_trust(completer, matrix):
    wild = dict(zip(matrix.example_ids, np.random.default_rng(5).normal(0.5, 2.0, N_EXAMPLES).tolist(), strict=True))
    row = completer.predict(measured(wild, matrix.example_ids[::4]))
    assert row.unlike_known is True
    by_probes = row.mean_interval()
    said = f"unlike all known tasks: trust mean_interval() alone; mean {by_probes.mean:+.3f}"
    assert said in repr(row)
    assert "unlike_known" in row.warnings[0]
    assert row.to_frame().calibrated.tolist() == row.measured.tolist()


def test_too_few_probes_to_say_is_said(completer, truth, matrix):
    row = completer.predict(measured(truth, matrix.example_ids[:1]))
    assert row.unlike_known is None
    assert "not known whether like known tasks" in repr(row)
    assert "too_few_probes" in row.warnings[0]


def test_few_known_rows_are_warned_of(everything, truth):
    row = Completer("factor").fit(named_matrix(everything[:5])).predict({"code-00": 0.1})
    assert "few_rows: the matrix has 5 known rows" in row.warnings[0]


def test_the_top_is_in_order_and_says_what_was_measured(completer, truth):
    cells = measured(truth, completer.probes(20))
    row = completer.predict(cells)
    top = row.top(15)
    assert [cell.forgetting for cell in top] == sorted(row.values.tolist(), reverse=True)[:15]
    for cell in top:
        assert cell == row[cell.example_id]
        assert cell.domain == cell.example_id.split("-")[0]
        assert cell.measured == (cell.example_id in cells)
        assert cell.low <= cell.forgetting <= cell.high
        assert (cell.low == cell.high == cell.forgetting) == cell.measured
    assert len(row.top()) == 20


def test_the_top_of_a_domain(completer, truth):
    row = completer.predict(measured(truth, completer.probes(20)))
    found = row.top(5, domain="poems")
    assert [cell.domain for cell in found] == ["poems"] * 5
    assert found == [cell for cell in row.top(90) if cell.domain == "poems"][:5]


def test_domains_come_the_most_forgotten_first(completer, truth):
    row = completer.predict(measured(truth, completer.probes(20)))
    averages = row.domains()
    assert averages.keys() == set(DOMAINS)
    means = [average.mean for average in averages.values()]
    assert means == sorted(means, reverse=True)
    assert averages["code"].mean == pytest.approx(row.values[::3].mean())


def test_means_and_shares_by_random_probes_are_of_the_row_or_of_a_domain(completer, truth, matrix):
    cells = measured(truth, matrix.example_ids[::2])
    row = completer.predict(cells)
    poems = np.arange(1, N_EXAMPLES, 3)
    assert row.mean_interval() == row.forecast.mean_interval()
    assert row.mean_interval(domain="poems") == row.forecast.mean_interval(poems)
    assert row.share_above(0.1, domain="poems") == row.forecast.share_above(0.1, poems)


def test_a_row_becomes_a_frame_a_dict_and_an_array(completer, truth, matrix):
    row = completer.predict(measured(truth, completer.probes(20)))
    frame = row.to_frame()
    assert frame.index.tolist() == list(matrix.example_ids)
    assert frame.columns.tolist() == ["domain", "forgetting", "low", "high", "measured", "calibrated"]
    assert frame.forgetting.to_dict() == row.to_dict()
    assert row.to_numpy().tolist() == row.values.tolist()
    row.to_numpy()[:] = 0.0
    assert row.values.any()


def test_measured_cells_of_a_frame_go_back_in(completer, truth):
    row = completer.predict(measured(truth, completer.probes(20)))
    frame = row.to_frame()
    again = completer.predict(frame.forgetting[frame.measured])
    assert again.values == pytest.approx(row.values)


def test_without_domains_there_are_none():
    row = Completer("additive").fit(ForgettingMatrix.from_arrays(make_forgetting(6, 20))).predict({"3": 0.2})
    assert row.domains() == {}
    assert row.top(1)[0].domain is None
    assert "domain" not in row.to_frame().columns
    with pytest.raises(errors.UnknownReference, match="it has none"):
        row.top(1, domain="poems")


# What is wrong is said by id


@pytest.mark.parametrize(
    ("cells", "error", "said"),
    [
        ({"poem-01": 0.1}, errors.UnknownExample, "no example 'poem-01'; did you mean 'poems-01'"),
        ({"zzz": 0.1}, errors.UnknownExample, "its ids look like 'code-00'"),
        ({"code-00": 0.1, "x": 1, "y": 2}, errors.UnknownExample, "2 of the 3 ids name no example"),
        (pd.Series([0.1, 0.2], ["code-00", "code-00"]), errors.RepeatedExample, "'code-00' is named twice"),
        ({"code-00": float("nan")}, errors.NotFinite, "'code-00' is NaN; leave it out"),
        ({"code-00": float("inf")}, errors.NotFinite, "'code-00'"),
        ({"code-00": 2e4}, errors.BeyondBelief, "'code-00' is 20000 nats"),
        ({"code-00": "0.1"}, errors.WrongKind, "'code-00' must be a number, not '0.1'"),
        ({"code-00": None}, errors.WrongKind, "'code-00' must be a number, not None"),
        ({"code-00": True}, errors.WrongKind, "'code-00'"),
        ({0.5: 0.1}, errors.WrongKind, "Ids of examples must be texts"),
        ("code-00", errors.WrongKind, "a dict or a pandas Series"),
        (["code-00"], errors.WrongKind, "two sequences"),
        (pd.DataFrame({"code-00": [0.1]}), errors.WrongKind, "a dict or a pandas Series"),
        (0.1, errors.WrongKind, "a dict or a pandas Series"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(completer, cells, error, said):
    with pytest.raises(error, match=re.escape(said)):
        completer.predict(cells)


@pytest.mark.parametrize("values", [[0.1], {"a": 0.1}, "0.1", 0.1])
def test_values_that_do_not_go_with_the_ids_are_refused(completer, values):
    with pytest.raises((errors.WrongShape, errors.WrongKind)):
        completer.predict(["code-00", "poems-01"], values)


def test_an_id_of_very_many_is_compared_with_those_that_begin_alike():
    many = ForgettingMatrix.from_arrays(
        make_forgetting(3, 12_000), example_ids=[f"example-{j:05d}" for j in range(12_000)]
    )
    with pytest.raises(errors.UnknownExample, match=r"did you mean 'example-0\d+'"):
        Completer("popularity").fit(many).predict({"example-0777": 0.1})


def test_random_names_measured_examples(completer, truth):
    cells = measured(truth, ["code-00", "poems-01"])
    with pytest.raises(errors.OutOfRange, match="'letters-02' was drawn at random, but there is no value"):
        completer.predict(cells, random=["letters-02"])
    with pytest.raises(errors.UnknownExample, match="'poems-02'"):
        completer.predict(cells, random=["poems-02"])


def test_a_domain_that_is_none_is_refused(completer, truth):
    with pytest.raises(errors.UnknownReference, match="no domain 'law'"):
        completer.probes(5, domains=["law"])
    with pytest.raises(errors.UnknownReference, match=r"no domain 'law'; it has 'code', 'poems', 'letters'"):
        completer.predict({}).mean_interval(domain="law")


# Fitting


def test_nothing_is_looked_at_before_fit(matrix):
    completer = Completer(method="none", level=7.0)
    assert repr(completer) == "Completer(method='none', level=7.0, seed=0; not fitted)"
    for use in (completer.probes, completer.complete, lambda: completer.predict({}), lambda: completer.save("x.npz")):
        with pytest.raises(errors.NotFitted, match=r"call fit\(matrix\) first"):
            use()
    with pytest.raises(errors.OutOfRange, match="Level"):
        completer.fit(matrix)
    completer.level = 0.9
    with pytest.raises(errors.UnknownMethod):
        completer.fit(matrix)
    assert issubclass(errors.NotFitted, errors.SetupFailure)


def test_fit_returns_the_completer_and_forgets_what_was_before(matrix, everything):
    completer = Completer("additive")
    assert completer.fit(matrix) is completer
    assert "14 tasks x 90 examples" in repr(completer)
    completer.probes(90, design="optimal")
    completer.fit(named_matrix(everything[:6]))
    assert completer.matrix.n_tasks == 6
    assert completer.predict(measured({"code-00": 0.1}, ["code-00"])).n_random == 1


def test_a_frame_is_not_taken_for_a_matrix():
    with pytest.raises(errors.WrongKind, match="from_pandas"):
        Completer().fit(pd.DataFrame([[0.1]]))


def test_a_method_of_ones_own_completes_and_cannot_be_saved(matrix, tmp_path):
    completer = Completer(replace(BLEND, name="own")).fit(matrix)
    assert "method='own'" in repr(completer)
    assert isinstance(completer.predict({"code-00": 0.1}), CompletedRow)
    with pytest.raises(errors.UnknownMethod, match="'own' is a method of your own"):
        completer.save(tmp_path / "own.npz")


# Files


@pytest.mark.parametrize("method", METHODS)
def test_a_loaded_completer_forecasts_the_same(everything, truth, tmp_path, method):
    observed = np.random.default_rng(0).random((14, N_EXAMPLES)) > 0.1
    families = [None, *(f"family-{i % 4}" for i in range(13))]
    completer = Completer(method, level=0.8, seed=3).fit(named_matrix(everything[:-1], observed, families=families))
    probes = completer.probes(20, design="optimal")
    completer.save(tmp_path / "completer.npz")
    loaded = Completer.load(tmp_path / "completer.npz")
    assert repr(loaded) == repr(completer)
    assert loaded.matrix.families == completer.matrix.families
    row, again = (one.predict(measured(truth, probes)) for one in (completer, loaded))
    assert (again.values.tolist(), again.high.tolist()) == (row.values.tolist(), row.high.tolist())
    assert again.n_random == row.n_random == 0
    assert loaded.probes(25).ids == completer.probes(25).ids
    assert loaded.complete().high.tolist() == completer.complete().high.tolist()


def test_a_file_needs_no_unpickling_and_says_what_made_it(completer, tmp_path):
    completer.save(tmp_path / "completer.npz")
    with np.load(tmp_path / "completer.npz", allow_pickle=False) as file:
        arrays = dict(file)
    assert arrays["fitted.model_version"] == MODEL_VERSION
    assert arrays["fitted.numpy_version"] == np.__version__
    assert arrays["matrix.example"].tolist() == list(completer.matrix.example_ids)


def test_a_file_of_another_model_version_is_refused(completer, tmp_path):
    completer.save(tmp_path / "completer.npz")
    with np.load(tmp_path / "completer.npz") as file:
        arrays = dict(file) | {"fitted.model_version": np.array(MODEL_VERSION + 1)}
    np.savez(tmp_path / "newer.npz", **arrays)
    with pytest.raises(errors.IncompatibleFit):
        Completer.load(tmp_path / "newer.npz")


def test_a_file_that_holds_no_completer_is_refused(matrix, tmp_path):
    matrix.save(tmp_path / "rows.npz")
    (tmp_path / "text.npz").write_text("no zip")
    for name in ("rows.npz", "text.npz", "none.npz"):
        with pytest.raises(errors.UnreadableMatrix, match=name):
            Completer.load(tmp_path / name)


# The whole matrix


@pytest.fixture(scope="module")
def incomplete(everything):
    """Known rows of which a fifth of the cells is missing, but for the first row."""
    observed = np.random.default_rng(1).random((14, N_EXAMPLES)) > 0.2
    observed[0] = True
    return named_matrix(everything[:-1], observed)


def test_every_missing_cell_is_completed_and_measured_ones_stay(incomplete, everything):
    full = Completer().fit(incomplete).complete()
    seen, truth = incomplete.observed, everything[:-1]
    assert full.values[seen].tolist() == full.low[seen].tolist() == full.high[seen].tolist() == truth[seen].tolist()
    assert (full.low < full.values)[~seen].all() and (full.values < full.high)[~seen].all()
    inside = (full.low <= truth) & (truth <= full.high)
    assert 0.8 < inside[~seen].mean() < 0.99
    popularity = Completer("popularity").fit(incomplete).complete()
    errors_of = [float(np.mean((found.values - truth)[~seen] ** 2)) for found in (full, popularity)]
    assert errors_of[0] < 0.8 * errors_of[1]


def test_a_row_is_completed_from_its_own_cells_by_a_fit_without_it(incomplete, everything):
    """A missing cell is never its own witness: another value under the mask changes nothing."""
    forgetting = everything[:-1].copy()
    forgetting[~incomplete.observed] = 7.0
    other = named_matrix(forgetting, incomplete.observed)
    first, second = (Completer("factor").fit(one).complete() for one in (incomplete, other))
    assert first.values.tolist() == second.values.tolist()
    without = Completer("factor").fit(incomplete.without_tasks([3]))
    cells = {incomplete.example_ids[j]: everything[3, j] for j in np.flatnonzero(incomplete.observed[3])}
    assert first.values[3] == pytest.approx(without.predict(cells, random=list(cells)).values, abs=2e-3)


def test_a_wild_cell_moves_no_other_row(incomplete, everything):
    forgetting = everything[:-1].copy()
    row, column = np.argwhere(incomplete.observed)[200]
    forgetting[row, column] = 50.0
    tame, wild = (
        Completer("factor").fit(one).complete() for one in (incomplete, named_matrix(forgetting, incomplete.observed))
    )
    others = np.arange(14) != row
    assert wild.values[row, column] == 50.0
    assert wild.values[others] == pytest.approx(tame.values[others], abs=0.02)
    assert np.abs(wild.values[row] - tame.values[row])[~incomplete.observed[row]].max() < 0.05


def test_a_complete_matrix_is_what_it_was(completer, matrix):
    full = completer.complete()
    assert full.values.tolist() == full.low.tolist() == matrix.forgetting.tolist()
    assert full.measured.all()


def test_a_lone_row_cannot_be_completed():
    lone = named_matrix(make_forgetting(1, 30), np.arange(30)[None] > 3)
    with pytest.raises(errors.MatrixEmpty, match="'task-0'"):
        Completer("factor").fit(lone).complete()


def test_the_completed_matrix_becomes_a_long_frame(incomplete):
    full = Completer("additive").fit(incomplete).complete(level=0.5)
    frame = full.to_frame()
    assert frame.columns.tolist() == ["task", "example_id", "domain", "forgetting", "low", "high", "measured"]
    assert (
        frame.pivot(index="task", columns="example_id", values="forgetting").loc["task-2", "poems-01"]
        == (full.values[2, 1])
    )
    n_missing = int((~incomplete.observed).sum())
    assert int((~frame.measured).sum()) == n_missing
    assert repr(full) == (
        f"CompletedMatrix(14 tasks x 90 examples; {n_missing} cells predicted with 50% intervals, the others measured)"
    )


# Imports


def test_a_completer_needs_numpy_alone_and_says_so_where_a_frame_is_wanted():
    code = """
import sys
sys.modules["pandas"] = None
from forgetcast import Completer, ForgettingMatrix, errors
row = Completer("additive").fit(ForgettingMatrix.from_arrays([[0.1, 0.2], [0.2, 0.3]])).predict({"0": 0.1})
try:
    row.to_frame()
except errors.ConfigurationError as error:
    print(error)
print(sorted({"click", "pydantic", "httpx2", "matplotlib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("A DataFrame needs pandas: pip install pandas")
    assert done.stdout.splitlines()[1] == "[]"

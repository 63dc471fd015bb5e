"""Pictures: what is drawn where, and that everybody can tell it apart."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from forgetcast import Completer, ForgettingMatrix, plots
from forgetcast.completion import analyse
from forgetcast.errors import UnknownExample, WrongShape

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'forgetcast[plots]'")
matplotlib.use("agg")

from matplotlib import colormaps, colors, pyplot  # noqa: E402  # once the backend is chosen

from bundled import pictures  # noqa: E402
from forgetcast.plots.style import BLUE, DIVERGING, GREY, SKY, VERMILION  # noqa: E402

MOST_BYTES = 150_000


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    pyplot.close("all")


def make_forgetting(n_tasks=8, n_examples=40):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(n_tasks, 2)) @ generator.normal(size=(2, n_examples))
    return 0.1 * rows + 0.05 + 0.02 * generator.normal(size=rows.shape)


@pytest.fixture(scope="module")
def matrix():
    return ForgettingMatrix.from_arrays(make_forgetting()[:-1])


@pytest.fixture(scope="module")
def completed(matrix):
    """A row forecast from ten cells, and its truth."""
    truth, completer = make_forgetting()[-1], Completer().fit(matrix)
    row = completer.predict({name: truth[int(name)] for name in completer.probes(10)})
    return SimpleNamespace(row=row, truth=truth)


def lines_of(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def xs(line):
    return np.asarray(line.get_xdata())


def ys(line):
    return np.asarray(line.get_ydata())


def cells_of(image):
    return image.get_array()


def heights_of(band):
    return band.get_paths()[0].vertices[:, 1]


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_spectrum_is_r2_by_rank(matrix):
    axes = plots.spectrum(matrix)
    (curve, *levels) = axes.get_lines()
    found = analyse(matrix)
    assert ys(curve).tolist() == list(found.r2_by_rank)
    assert xs(curve).tolist() == list(range(1, len(found.r2_by_rank) + 1))
    assert [ys(line)[0] for line in levels] == [found.r2_additive]


def test_the_spectrum_says_what_noise_leaves_where_tasks_were_measured_twice(matrix):
    forgetting = np.vstack([matrix.forgetting, matrix.forgetting[2] + 0.01])
    repeated = ForgettingMatrix.from_arrays(forgetting, repeat_of=[""] * 7 + ["task-2"])
    axes = plots.spectrum(repeated)
    assert "all but noise" in [text.get_text() for text in axes.texts]
    assert ys(axes.get_lines()[-1])[0] == analyse(repeated).noise.r2_ceiling


def test_the_heat_map_is_sorted_by_both_effects_and_symmetric_about_zero(matrix):
    axes = plots.heat_map(matrix)
    (image,) = axes.get_images()
    low, high = image.get_clim()
    assert low == -high
    drawn = cells_of(image)
    assert (np.diff(drawn.mean(axis=0)) <= 1e-12).all() and (np.diff(drawn.mean(axis=1)) <= 1e-12).all()
    assert sorted(drawn.ravel().tolist()) == sorted(matrix.forgetting.ravel().tolist())
    order = np.argsort(-matrix.forgetting.mean(axis=1))
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"task-{task}" for task in order]


def test_missing_cells_are_no_colour_of_the_scale(matrix):
    observed = np.ones(matrix.forgetting.shape, dtype=bool)
    observed[1, :3] = observed[:, 5] = False
    wild = matrix.forgetting.copy()
    wild[~observed] = 1e6
    axes = plots.heat_map(ForgettingMatrix.from_arrays(wild, observed=observed))
    (image,) = axes.get_images()
    assert int(np.ma.getmaskarray(cells_of(image)).sum()) == int((~observed).sum())
    assert image.get_clim()[1] < 1.0
    assert np.ptp(image.get_cmap().get_bad()[:3]) == 0.0


def test_too_many_tasks_to_name_are_not_named():
    axes = plots.heat_map(ForgettingMatrix.from_arrays(make_forgetting(61, 10)))
    assert not any(label.get_text().startswith("task-") for label in axes.get_yticklabels())


def test_a_row_is_drawn_from_the_most_forgotten_on_with_its_intervals(completed):
    axes = plots.row(completed.row)
    forecast = ys(lines_of(axes)["forecast"])
    assert forecast.tolist() == sorted(completed.row.values.tolist(), reverse=True)
    (band,) = axes.collections
    heights = heights_of(band)
    assert (heights.min(), heights.max()) == (completed.row.low.min(), completed.row.high.max())
    assert len(xs(lines_of(axes)["measured (10)"])) == 10
    assert legend_of(axes) == ["90% interval", "forecast", "measured (10)"]
    assert axes.get_title(loc="left") == ""


def test_truth_outside_its_interval_has_another_mark_and_the_share_inside_is_said(completed):
    row, truth = completed.row, completed.truth.copy()
    first = int(np.flatnonzero(~row.measured)[0])
    truth[first] = row.high[first] + 1.0
    axes = plots.row(row, truth)
    outside = ((truth < row.low) | (truth > row.high)) & ~row.measured
    inside, beyond = lines_of(axes)["truth"], lines_of(axes)["truth outside its interval"]
    assert sorted(ys(beyond).tolist()) == sorted(truth[outside].tolist())
    assert len(ys(inside)) == 30 - outside.sum()
    assert inside.get_marker() != beyond.get_marker()
    assert axes.get_title(loc="left") == f"90% intervals hold {100 * (1 - outside.sum() / 30):.0f}% of 30 cells"


def test_truth_may_be_named_by_id_and_known_in_part(completed):
    by_id = {str(j): value for j, value in enumerate(completed.truth.tolist())}
    whole, named = plots.row(completed.row, completed.truth), plots.row(completed.row, by_id)
    assert named.get_title(loc="left") == whole.get_title(loc="left")
    part = {name: by_id[name] for name in list(by_id)[:20]}
    n_predicted = int((~completed.row.measured[:20]).sum())
    assert f"of {n_predicted} cells" in plots.row(completed.row, part).get_title(loc="left")
    with pytest.raises(UnknownExample):
        plots.row(completed.row, {"40": 0.1})
    with pytest.raises(WrongShape, match="the row has 40 examples"):
        plots.row(completed.row, completed.truth[:-1])


def test_of_a_wide_row_some_are_shown_and_the_ends_among_them():
    wide = Completer("popularity").fit(ForgettingMatrix.from_arrays(make_forgetting(3, 5000))).predict({"7": 0.1})
    shown = lines_of(plots.row(wide))["forecast"]
    assert len(xs(shown)) == 1000
    assert (xs(shown)[0], xs(shown)[-1]) == (1, 5000)
    assert ys(shown)[0] == wide.values.max()


def test_axes_that_are_given_are_drawn_into(matrix, completed):
    figure, (first, second, third) = pyplot.subplots(3)
    assert plots.spectrum(matrix, axes=first) is first
    assert plots.heat_map(matrix, axes=second) is second
    assert plots.row(completed.row, axes=third) is third
    assert pyplot.get_fignums() == [figure.number]


# Machado, Oliveira and Fernandes (2009), full severity, on linear RGB.
WITHOUT_RED = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
WITHOUT_GREEN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
WITHOUT_BLUE = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]


@pytest.mark.parametrize("vision", [WITHOUT_RED, WITHOUT_GREEN, WITHOUT_BLUE])
def test_colours_are_told_apart_with_every_kind_of_colour_vision(vision):
    def seen(colour):
        return np.clip(np.array(vision) @ np.array(colors.to_rgb(colour)) ** 2.2, 0, 1) ** (1 / 2.2)

    def apart(*shown):
        return min(float(np.linalg.norm(seen(a) - seen(b))) for a in shown for b in shown if a is not b)

    scale = colormaps[DIVERGING]
    assert apart(scale(0.1), scale(0.5), scale(0.9)) > 0.3
    assert apart(BLUE, SKY, VERMILION) > 0.3
    assert apart(SKY, VERMILION, GREY) > 0.15


def test_the_pictures_of_the_page_are_drawn_anew_and_small(tmp_path, monkeypatch):
    committed = sorted(pictures.FOLDER.iterdir())
    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    pictures.main()
    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == [path.name for path in committed] == ["heat-map.png", "row.png"]
    assert all(path.stat().st_size < MOST_BYTES for path in [*drawn, *committed])


def test_without_matplotlib_it_is_said_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
from forgetcast import errors, plots
try:
    plots.row
except errors.ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "A picture needs matplotlib: pip install 'forgetcast[plots]'"

"""How near forgetting is to low rank: R2 by rank, product beside sum, factors beside permuted cells, what loads.

    python -m benchmarks.low_rank                                  the bundled matrix
    python -m benchmarks.low_rank --npz olmo-7b-flan-dolma.npz     the one that the paper's authors publish
    python -m benchmarks.low_rank --picture FILE                   a picture of scores and loadings beside it

Notation
    Z    forgetting, every cell measured              (M, N)  nats per token
    X    Z less its grand mean, or less the means of its columns, or of its rows and columns
    R2   1 - squared residuals of the best fit of rank r to X, over the squares of X: in sample, as the paper has it
    u_k  left singular vectors of X, by falling singular value

A factor is significant where few matrices without any association have so large a share of their squares in one
direction. They are made of what the means and the factors before it left, in two ways: the cells of every column are
permuted among the tasks, or the sign of every cell is drawn; then the same directions are taken out of them, so that
both have as many left. Permuted, a task that is noisier than others makes a factor of its own; drawn signs keep how
noisy each task and example is. Noise that examples share counts as a factor either way.
Held-out error is that of a tenth of the cells, never seen by the fit, over that of the grand mean.

Source: Jin and Ren, arXiv:2406.14026; Buja and Eyuboglu (1992), Remarks on Parallel Analysis; Dobriban and Owen (2019),
Deterministic Parallel Analysis, for taking factors away one by one; Hong, Sheng and Dobriban (2020), Selecting the
Number of Components in PCA via Random Signs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundled.pictures import bundled_matrix
from forgetcast.completion import ForgettingMatrix, analyse

RANKS = (1, 2, 3, 4, 5, 8)
PERMUTATIONS = 200
TESTED = 20  # factors, at most
HELD_OUT = 0.1
SPLITS = 5
ROUNDS = 60  # of alternation, of a fit to some cells
DESCRIBED = 3  # factors
ENDS = 4  # tasks and domains that are named at each end

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def main() -> None:
    options = argparse.ArgumentParser(description="How near a matrix of forgetting is to low rank.")
    options.add_argument("--npz", type=Path, help="a matrix in a file instead of the bundled one")
    options.add_argument("--picture", type=Path, help="where to draw scores and loadings; needs matplotlib")
    options.add_argument("--permutations", type=int, default=PERMUTATIONS, help="permuted matrices of every factor")
    given = options.parse_args()
    matrix = ForgettingMatrix.load(given.npz) if given.npz else bundled_matrix()
    if not matrix.is_complete:
        options.error("this matrix has missing cells; R2 by rank is that of matrices that were measured whole")
    cells = matrix.filled()
    print(f"{matrix!r}\n")
    say_ranks(cells)
    say_forms(cells)
    say_significance(cells, given.permutations)
    say_factors(matrix)
    if given.picture:
        draw(matrix, given.picture)


def say_ranks(cells: Floats) -> None:
    """R2 by rank around three means."""
    print("| R2 around | means alone | " + " | ".join(f"rank {rank}" for rank in RANKS) + " |")
    print("|---" * (len(RANKS) + 2) + "|")
    total = float(np.sum((cells - cells.mean()) ** 2))
    for name, centred in (
        ("the grand mean", cells - cells.mean()),
        ("means of columns", cells - cells.mean(axis=0)),
        ("means of rows and columns", without_means(cells)),
    ):
        means = 1.0 - float(np.sum(centred**2)) / total
        explained = " | ".join(f"{r2_of_rank(centred, rank):.3f}" for rank in RANKS)
        print(f"| {name} | {means:.3f} | {explained} |")
    print()


def r2_of_rank(centred: Floats, rank: int) -> float:
    """Share of the squares of X that its first singular values hold."""
    squares = np.linalg.svd(centred, compute_uv=False) ** 2
    return float(squares[:rank].sum() / squares.sum())


def without_means(cells: Floats) -> Floats:
    """Cells less the means of their rows and columns. (M, N)"""
    rows, columns = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    left: Floats = cells - rows - columns + cells.mean()
    return left


def say_forms(cells: Floats) -> None:
    """Row effect times column effect beside row effect plus column effect, and both together; as many numbers each."""
    print("| form | R2 in sample | error of held-out cells over the grand mean's |\n|---|---|---|")
    everything = np.ones(cells.shape, dtype=np.bool_)
    splits = [np.random.default_rng(seed).random(cells.shape) >= HELD_OUT for seed in range(SPLITS)]
    total = float(np.sum((cells - cells.mean()) ** 2))
    for name, fit in FORMS.items():
        inside = 1.0 - float(np.sum((cells - fit(cells, everything)) ** 2)) / total
        outside = [held_out_error(cells, seen, fit) for seen in splits]
        print(f"| {name} | {inside:.3f} | {np.mean(outside):.3f} |")
    print()


def held_out_error(cells: Floats, seen: Mask, fit: Callable[[Floats, Mask], Floats]) -> float:
    """Root mean square error of unseen cells over that of the mean of the seen ones."""
    squared = np.sum((cells - fit(cells, seen))[~seen] ** 2)
    return float(np.sqrt(squared / np.sum((cells - cells[seen].mean())[~seen] ** 2)))


def additive(cells: Floats, seen: Mask) -> Floats:
    """Row effect + column effect, least squares over the seen cells. (M, N)"""
    weights = seen.astype(np.float64)
    rows, columns = np.zeros(cells.shape[0]), np.zeros(cells.shape[1])
    for _ in range(ROUNDS):
        columns = np.sum(weights * (cells - rows[:, None]), axis=0) / weights.sum(axis=0)
        rows = np.sum(weights * (cells - columns), axis=1) / weights.sum(axis=1)
    return np.asarray(rows[:, None] + columns)


def multiplicative(cells: Floats, seen: Mask) -> Floats:
    """Row effect x column effect, least squares over the seen cells. (M, N)"""
    weights = seen.astype(np.float64)
    rows, columns = np.ones(cells.shape[0]), np.zeros(cells.shape[1])
    for _ in range(ROUNDS):
        columns = (rows @ (weights * cells)) / np.maximum((rows**2) @ weights, 1e-300)
        rows = ((weights * cells) @ columns) / np.maximum(weights @ columns**2, 1e-300)
    return np.outer(rows, columns)


def both_forms(cells: Floats, seen: Mask) -> Floats:
    """Row effect + column effect + a product of two more. (M, N)"""
    product = np.zeros(cells.shape)
    for _ in range(ROUNDS // 10):
        means = additive(cells - product, seen)
        product = multiplicative(cells - means, seen)
    return np.asarray(means + product)


FORMS: dict[str, Callable[[Floats, Mask], Floats]] = {
    "sum of a row and a column effect": additive,
    "product of a row and a column effect": multiplicative,
    "sum and product": both_forms,
}


@dataclass(frozen=True)
class TestedFactor:
    """Share of the squares that the factors before it left; the 95th percentile of the same without association, and
    the chance of as much there, by permuted cells and by drawn signs.
    """

    share: float
    permuted: float
    p_permuted: float
    signed: float
    p_signed: float


def say_significance(cells: Floats, draws: int) -> None:
    """Factors around the means of rows and columns, until one is not significant either way."""
    print("| factor | share of squares | 95% of permuted below | p | 95% of drawn signs below | p |")
    print("|---|---|---|---|---|---|")
    found = significance(without_means(cells), draws)
    for number, one in enumerate(found, start=1):
        print(
            f"| {number} | {one.share:.3f} | {one.permuted:.3f} | {one.p_permuted:.3f} "
            f"| {one.signed:.3f} | {one.p_signed:.3f} |"
        )
    permuted, signed = (first_above([getattr(one, p) for one in found]) for p in ("p_permuted", "p_signed"))
    print(
        f"\nSignificant at 0.05 ({draws} draws, at most {TESTED} tested): {permuted} by permuted cells, "
        f"{signed} by drawn signs.\n"
    )


def first_above(chances: list[float], level: float = 0.05) -> int:
    """How many come before the first that is above the level."""
    return next((place for place, chance in enumerate(chances) if chance > level), len(chances))


def significance(centred: Floats, draws: int, seed: int = 0) -> list[TestedFactor]:
    """Factors in order, until one that neither way is significant."""
    generator, left = np.random.default_rng(seed), centred
    rows, columns = (np.full((size, 1), size**-0.5) for size in centred.shape)  # what was taken out: first the means
    found: list[TestedFactor] = []
    while len(found) < min(TESTED, min(centred.shape) - 2):
        squares, vectors = np.linalg.eigh(left @ left.T)
        share = float(squares[-1] / squares.sum())
        whole = left * scales(left, rows)[:, None]  # as large as before something was taken out
        made = [generator.permuted(whole, axis=0) for _ in range(draws)]
        permuted = np.array([_largest_share(without(cells, rows, columns)) for cells in made])
        made = [whole * generator.choice((-1.0, 1.0), left.shape) for _ in range(draws)]
        signed = np.array([_largest_share(without(cells, rows, columns)) for cells in made])
        tested = TestedFactor(share, _usual(permuted), _chance(permuted, share), _usual(signed), _chance(signed, share))
        found.append(tested)
        if tested.p_permuted > 0.05 and tested.p_signed > 0.05:
            break
        direction = vectors[:, -1:]
        across = left.T @ direction
        rows, columns = np.hstack([rows, direction]), np.hstack([columns, across / np.linalg.norm(across)])
        left = left - direction @ across.T
    return found


def without(cells: Floats, rows: Floats, columns: Floats) -> Floats:
    """Cells with these orthonormal directions of tasks (M, k) and examples (N, k) taken out. (M, N)"""
    left = cells - rows @ (rows.T @ cells)
    return np.asarray(left - (left @ columns) @ columns.T)


def scales(left: Floats, rows: Floats) -> Floats:
    """What each task's cells must be multiplied by to be as noisy as they were before these directions (M, k) were
    taken out of them all: with P what remains, the mean squares left are (P * P) times the former ones. (M,)
    """
    remains = np.eye(left.shape[0]) - rows @ rows.T
    mean_squares = np.mean(left**2, axis=1)
    former = np.linalg.lstsq(remains**2, mean_squares, rcond=1e-6)[0]
    return np.asarray(np.sqrt(np.maximum(former, 0.0) / np.maximum(mean_squares, 1e-300)))


def _usual(shares: Floats) -> float:
    return float(np.quantile(shares, 0.95))


def _chance(shares: Floats, share: float) -> float:
    """One of the draws is the matrix itself, so that it is never 0."""
    return (1 + int(np.sum(shares >= share))) / (1 + shares.size)


def _largest_share(cells: Floats) -> float:
    squares = np.linalg.eigvalsh(cells @ cells.T)
    return float(squares[-1] / squares.sum())


def say_factors(matrix: ForgettingMatrix) -> None:
    """Which tasks and domains load on the first factors, around the grand mean, in words."""
    for factor in analyse(matrix).factors[:DESCRIBED]:
        most = ", ".join(f"{end.task} {end.score:+.1f}" for end in factor.tasks.most[:ENDS])
        least = ", ".join(f"{end.task} {end.score:+.1f}" for end in factor.tasks.least[:ENDS])
        print(
            f"Factor {factor.factor}, {factor.share:.0%} of the squares around the grand mean. "
            f"Most: {most}. Least: {least}."
        )
        if factor.domains:
            domains = sorted(factor.domains, key=lambda domain: -domain.mean_loading)
            forgets = ", ".join(f"{domain.domain} {domain.mean_loading:+.3f}" for domain in domains[:ENDS])
            keeps = ", ".join(f"{domain.domain} {domain.mean_loading:+.3f}" for domain in domains[-ENDS:])
            print(f"A task of score 1 forgets by domain, nats per token, most: {forgets}; least: {keeps}.")
        print()


def draw(matrix: ForgettingMatrix, path: Path) -> None:
    """Scores of tasks, and mean loadings of domains where these are known, one column a factor."""
    from matplotlib.figure import Figure  # only pictures need it

    scores, loadings, names = factor_parts(matrix)
    panels = [("tasks", scores, list(matrix.task_ids))] + ([("domains", loadings, names)] if names else [])
    height = 1.5 + 0.16 * max(len(labels) for _, _, labels in panels)
    figure = Figure(figsize=(4.2 * len(panels), height), layout="constrained")
    for place, (title, values, labels) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        widest = float(np.abs(values).max())
        image = axes.imshow(values, cmap="RdBu_r", vmin=-widest, vmax=widest, aspect="auto", interpolation="nearest")
        axes.set_xticks(range(values.shape[1]), [f"factor {k + 1}" for k in range(values.shape[1])], fontsize=7)
        axes.set_yticks(range(len(labels)), labels, fontsize=6)
        axes.set_title(title, fontsize=9)
        figure.colorbar(image, ax=axes, shrink=0.5)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def factor_parts(matrix: ForgettingMatrix) -> tuple[Floats, Floats, list[str]]:
    """Scores (M, K), mean loadings of domains (D, K) and the names of these; factors turned toward more forgetting."""
    centred = matrix.filled() - matrix.filled().mean()
    vectors, singular, right = np.linalg.svd(centred, full_matrices=False)
    scores = vectors[:, :DESCRIBED] * np.sqrt(matrix.n_tasks)
    loadings = right[:DESCRIBED] * singular[:DESCRIBED, None] / np.sqrt(matrix.n_tasks)
    signs = np.where(loadings.sum(axis=1) < 0, -1.0, 1.0)
    groups = matrix.domain_positions()
    by_domain = [loadings[:, positions].mean(axis=1) * signs for positions in groups.values()]
    return scores * signs, np.array(by_domain).reshape(len(groups), DESCRIBED), list(groups)


if __name__ == "__main__":
    main()

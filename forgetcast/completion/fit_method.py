"""Fit a completion method to the known rows, every choice made by leaving rows out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from forgetcast.completion.arguments import whole_number
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.matrix.outliers import without_outliers
from forgetcast.completion.methods.fitted_method import FittedMethod, fit_with
from forgetcast.completion.methods.method import Method
from forgetcast.completion.methods.registry import DEFAULT_METHOD, method_named
from forgetcast.completion.types import Indices
from forgetcast.completion.validation.choices import Choices, choose
from forgetcast.completion.validation.left_out import LeftOutRow, left_out_rows


def fit(
    matrix: ForgettingMatrix, method: str | Method = DEFAULT_METHOD, seed: int = 0, earlier: FittedMethod | None = None
) -> FittedMethod:
    """Fit a method to the known rows.

    Parameters
    ----------
    method : ``blend``, ``local``, ``factor``, ``additive`` or ``popularity``, or a method of one's own
    seed : non-negative; decides which rows and columns the choices look at and which cells play the probes
    earlier : the fit of another version of this matrix. Rows it knew are not multiplied with each other again: one
        row more costs M x N, not M x M x N; the fit is the same up to rounding. Not used when a cell is missing

    Raises
    ------
    UnknownMethod, WrongKind, OutOfRange
    """
    return _fit(matrix, method, seed, earlier)[0]


@dataclass(frozen=True, eq=False)
class FitWithLeftOut:
    """A fit, and the known rows beside fits without their groups, with the errors that forecasts of theirs have.

    rows : of some columns where the matrix is wide; none with too few known rows
    domains : positions among these columns, by domain
    """

    fitted: FittedMethod
    rows: list[LeftOutRow]
    domains: dict[str, Indices]


def fit_and_leave_out(
    matrix: ForgettingMatrix, method: str | Method = DEFAULT_METHOD, seed: int = 0, earlier: FittedMethod | None = None
) -> FitWithLeftOut:
    """As ``fit``, with what its choices were made by, for whoever learns more from rows that were left out."""
    fitted, choices = _fit(matrix, method, seed, earlier)
    without = [replace(each, fitted=each.fitted.with_calibration(choices.calibration)) for each in choices.left_out]
    rows = list(left_out_rows(choices.matrix, without))
    return FitWithLeftOut(fitted, rows, choices.matrix.domain_positions())


def _fit(
    matrix: ForgettingMatrix, method: str | Method, seed: int, earlier: FittedMethod | None
) -> tuple[FittedMethod, Choices]:
    check_matrix(matrix)
    whole_number("The seed", seed)
    method = method_named(method)
    matrix = without_outliers(matrix)
    choices = choose(matrix, method, seed)
    gram = None if earlier is None else earlier.gram
    fitted = fit_with(matrix, method, choices.noise_share, choices.doubt, choices.calibration, gram)
    return fitted.with_default_probes(), choices

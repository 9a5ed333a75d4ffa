"""Table, JSON and picture of what confidence and sigma are worth."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from loftr_ros.console import new_console
from loftr_ros.evaluation.matchers.calibration import CLOSE_PX, Calibration
from loftr_ros.evaluation.matchers.pair_report import write_json
from loftr_ros.visualization.calibration import reliability_figure
from loftr_ros.visualization.trajectories import save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console


def report_calibration(
    measured: Sequence[Calibration],
    json: Path | None = None,
    out: Path | None = None,
    console: Console | None = None,
) -> None:
    """Print the table; write the figures and draw the reliability diagrams where wanted."""
    console = console or new_console()
    console.print(calibration_table(measured))
    if json is not None:
        write_json(json, {one.name: to_plain(one) for one in measured})
        console.print(f'figures: {json}')
    if out is not None:
        curves = {one.name: reliability_of(one) for one in measured}
        path = out / 'reliability.png'
        save_figure(reliability_figure(curves, CLOSE_PX), path)
        console.print(f'picture: {path}')


def calibration_table(measured: Sequence[Calibration]) -> Table:
    """Lay out one column per set: the errors, then the share of close matches per bin."""
    table = Table(title='What confidence and sigma are worth')
    table.add_column('')
    for one in measured:
        table.add_column(one.name, justify='right')
    table.add_row('matches', *(str(one.count) for one in measured))
    table.add_row(f'within {CLOSE_PX:g} px', *(_number(one.accuracy) for one in measured))
    table.add_row('expected calibration error', *(_number(one.error) for one in measured))
    table.add_row('residuals / sigma, deviation', *(_number(one.sigma_ratio) for one in measured))
    for number, ratios in enumerate(zip(*(one.sigma_ratios for one in measured), strict=True)):
        name = f'{number + 1}. fifth, by sigma'
        table.add_row(name, *(_number(ratio) for ratio in ratios))
    table.add_section()
    for bins in zip(*(one.bins for one in measured), strict=True):
        shares = [f'{_number(b.accuracy)} of {b.count}' if b.count else '-' for b in bins]
        table.add_row(f'stated {bins[0].low:.1f} to {bins[0].high:.1f}', *shares)
    return table


def _number(value: float) -> str:
    return f'{value:.3f}' if np.isfinite(value) else '-'


def to_plain(calibration: Calibration) -> dict[str, Any]:
    """Return all figures as plain values; null stands for what is not known."""
    content = {
        'matches': calibration.count,
        'close': calibration.accuracy,
        'expected_calibration_error': calibration.error,
        'sigma_ratio': calibration.sigma_ratio,
    }
    ratios = [_finite(ratio) for ratio in calibration.sigma_ratios]
    bins = [{name: _finite(value) for name, value in asdict(b).items()} for b in calibration.bins]
    finite = {name: _finite(value) for name, value in content.items()}
    return {**finite, 'sigma_ratios': ratios, 'bins': bins}


def reliability_of(calibration: Calibration) -> list[tuple[float, float, int]]:
    """Return stated confidence, share of close matches and number of each bin that has any."""
    return [(b.confidence, b.accuracy, b.count) for b in calibration.bins if b.count]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None

from __future__ import annotations

from typing import Any

import pytest
from here import SETTINGS, advice, measure, table_of
from rich.console import Console


def figures(rate: float, late_ms: float = 100.0) -> dict[str, Any]:
    names = 'poses', 'matched', 'p50 [ms]', 'cores at work', 'load average'
    return {**dict.fromkeys(names, 10.0), 'rate [Hz]': rate, 'p95 [ms]': late_ms}


def test_the_finest_setting_that_keeps_up_is_named() -> None:
    found = {setting: figures(30.0) for setting in SETTINGS}
    found[SETTINGS[0]] = figures(8.0)
    found[SETTINGS[1]] = figures(30.0, late_ms=400.0)
    assert advice(found, 30.0).endswith(' '.join(SETTINGS[2].parameters))


def test_where_nothing_keeps_up_the_one_with_most_poses_is_named() -> None:
    found = {setting: figures(5.0 + number) for number, setting in enumerate(SETTINGS)}
    text = advice(found, 30.0)
    assert text.startswith('Nothing keeps up')
    assert '10.0 a second' in text
    assert text.endswith(' '.join(SETTINGS[-1].parameters))


def test_what_was_not_there_is_no_number_in_the_table() -> None:
    console = Console(record=True, width=150)
    console.print(table_of({SETTINGS[0]: figures(5.0, late_ms=float('nan'))}))
    row = next(
        line for line in console.export_text().splitlines() if 'matched' in line and '640' in line
    )
    assert ' - ' in row


def test_a_node_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('here.LATENCY', 'nowhere.py')
    with pytest.raises(RuntimeError, match='nowhere'):
        measure(SETTINGS[0], 30.0, 1.0)

"""Tests of what is not installed skip and name it, as on a robot that runs `colcon test`."""

from __future__ import annotations

import re
from collections.abc import Generator

import pytest

OPTIONAL = {
    'evo',
    'gtsam',
    'hypothesis',
    'importlinter',
    'jinja2',
    'kornia',
    'onnx',
    'onnxruntime',
    'onnxscript',
    'packaging',
    'plotly',
    'poselib',
    'pycolmap',
    'ray',
    'rerun',
    'rosbags',
    'safetensors',
    'selenium',
    'transformers',
}
"""Modules that no ROS distribution brings along, or that only tests need."""

MISSING = re.compile(r"ModuleNotFoundError: (?:No module named|import of) '?(\w+)")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a file whose imports need an optional module; any other error stays one."""
    report = yield
    found = MISSING.search(str(report.longrepr)) if report.failed else None
    if found and found[1] in OPTIONAL:
        report.outcome = 'skipped'
        report.longrepr = (str(collector.path), 0, f'Skipped: {found[1]} is not installed')
        report.result = []
    return report

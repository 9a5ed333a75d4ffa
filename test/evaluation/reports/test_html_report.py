"""The report of a run is one file that works offline, on any screen, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import pytest
from browser import launch, look
from synthetic_runs import FRAME_COUNT, make_records, write_run

from loftr_ros.commands.main import main
from loftr_ros.evaluation.records.results import open_run
from loftr_ros.evaluation.reports.html_page import (
    Note,
    Page,
    PageTable,
    Picture,
    Plot,
    Section,
    render,
)
from loftr_ros.evaluation.reports.html_report import report_page
from loftr_ros.evaluation.reports.report_data import SequenceData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome


@pytest.fixture(scope='module')
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    yield from launch(tmp_path_factory.mktemp('profile'))


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('runs') / 'release'
    return write_run(folder, {'hall': 1.0, 'yard': 2.0, 'dock': 1.0}, failed=('dock',))


@pytest.fixture(scope='module')
def report(run: Path) -> Path:
    assert main(['report', str(run)]) == 0
    return run / 'report.html'


@pytest.mark.parametrize(('width', 'dark'), [(1280, False), (390, True)])
def test_a_browser_shows_every_plot_without_a_complaint(
    chrome: Chrome, report: Path, width: int, dark: bool
) -> None:
    view = look(chrome, report, width, dark=dark)

    assert view.messages == []
    assert view.width <= width, 'the page scrolls sideways'
    shown = {plot['title']: plot for plot in view.plots if plot['visible']}
    assert [title.split(',')[0] for title in shown] == [
        'Trajectory from above',
        'Trajectory',
        'Distance from the truth',
        'Error of the relative poses',
        'States',
        'Matches',
        'Latency of the tracker',
    ]
    for title, plot in shown.items():
        assert plot['marks'] > 0, title
        assert 200 < plot['width'] <= width, title
    brightness = np.median(view.picture)
    assert brightness < 60 if dark else brightness > 200
    assert view.picture.std() > 10


def test_a_folded_sequence_draws_its_plots_when_it_is_unfolded(
    chrome: Chrome, report: Path
) -> None:
    look(chrome, report, 1280)
    chrome.execute_script("document.querySelector('#section-3').open = true")
    chrome.execute_script("document.querySelector('#section-3').scrollIntoView()")
    drawn = "return document.querySelectorAll('#section-3 .main-svg').length"
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(chrome, 10).until(lambda browser: browser.execute_script(drawn) > 4)


def test_the_report_needs_no_other_file(report: Path) -> None:
    html = report.read_text(encoding='utf-8')
    outside = re.sub(r'<script>.*?</script>', '', html, flags=re.DOTALL)

    assert not re.findall(r'(?:src|href)="(?!data:)', outside)
    assert html.count('data:image/jpeg;base64,') == 4  # two worst frames of two sequences
    assert len(html) < 6_000_000


def test_the_report_names_weights_parameters_machine_and_what_failed(run: Path) -> None:
    page = report_page(open_run(run))
    text = render(page)

    for expected in ('ab12' * 16, 'longer_side', '2.13.0', 'imagined'):
        assert expected in text
    assert Note('dock failed: frame 3 is damaged', 'bad') in page.lead
    assert [section.title for section in page.sections] == [
        'All sequences',
        'hall',
        'yard',
        'Parameters, versions, machine',
    ]
    assert page.sections[1].pictures[0].title.startswith('Frame 20 with 19: lost')


def test_the_drawn_trajectory_is_aligned_as_its_errors_are() -> None:
    records = make_records(np.random.default_rng(0), 0.0)
    data = SequenceData(records, similarity=True)

    assert data.alignment is not None
    assert data.alignment.scale == pytest.approx(2)
    seconds, distances = data.position_errors()
    assert len(seconds) == FRAME_COUNT - 2  # the first frame and the lost one have no estimate
    assert distances.max() < 1e-9
    assert data.ground_axes() == (0, 1)
    broken = data.broken(data.estimated_positions())
    assert np.flatnonzero(np.isnan(broken[:, 0])).tolist() == [19]


def test_a_run_without_truth_still_has_a_report(tmp_path: Path) -> None:
    from dataclasses import replace

    from loftr_ros.evaluation.records.result_files import write_records
    from loftr_ros.evaluation.records.results import PoseErrors

    run = write_run(tmp_path / 'run', {'hall': 1.0})
    path = run / 'sequences' / 'hall' / 'frames.jsonl'
    frames = open_run(run).sequences[0].frames()
    blank = [replace(record, world_T_camera=None, errors=PoseErrors()) for record in frames]
    write_records(path, blank)

    titles = [plot.title for plot in report_page(open_run(run)).sections[1].plots]
    assert titles[0] == 'Trajectory from above, not aligned: there is no truth'
    assert 'Error of the relative poses' not in titles


def test_what_names_contain_is_text_not_markup() -> None:
    evil = '</script><script>alert(1)</script>'
    plot = Plot(evil, go.Figure(go.Scatter(x=[1], y=[1], name=evil)))
    section = Section(evil, (Note(evil),), (PageTable(evil, ((evil,),)),), (plot,))
    html = render(Page(evil, (Note(evil),), ((evil, evil),), (section,)))

    assert evil not in html


def test_wide_pictures_are_shrunk() -> None:
    small = Picture('a', np.zeros((40, 2000, 3), np.uint8))
    assert len(small.base64) < 4000


def test_a_folder_without_results_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['report', str(tmp_path)]) == 1
    assert 'run.json: the file cannot be read' in capsys.readouterr().err


def test_damaged_match_files_leave_the_rest_of_the_report(tmp_path: Path) -> None:
    run = write_run(tmp_path / 'run', {'hall': 1.0})
    for file in (run / 'sequences' / 'hall' / 'worst').glob('*.npz'):
        file.write_bytes(b'PK damaged')

    page = report_page(open_run(run))
    assert page.sections[1].pictures == ()
    assert page.sections[1].plots

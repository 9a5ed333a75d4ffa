"""A headless Chromium that opens a local file, offline, and reports what it shows."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

BROWSERS = ('chromium', 'chromium-browser', 'google-chrome')
QUIET = (
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
)
SLOWEST_S = 30
# Of every plot: number of drawn lines, points, bars and its size.
MARKS = """
return [...document.querySelectorAll('.plot')].map(plot => ({
    marks: plot.querySelectorAll('.js-line, .point, .errorbar').length,
    width: plot.getBoundingClientRect().width,
    title: plot.parentElement.querySelector('figcaption').textContent,
    visible: plot.closest('details').open}));
"""


@dataclass(frozen=True, eq=False)
class View:
    """A page as a reader with some screen sees it.

    Attributes:
        messages: What the browser's console says.
        plots: What the plots contain, see `MARKS`.
        width: Width of the page, px.
        picture: (H, W, 3) uint8, BGR, the top of the page.
        text: All text of the page.

    """

    messages: list[str]
    plots: list[dict[str, Any]]
    width: int
    picture: NDArray[np.uint8]
    text: str


def launch(profile: Path) -> Iterator[Chrome]:
    """Start Chromium without network; skip where there is none."""
    pytest.importorskip('selenium', reason='selenium is not installed: pip install selenium')
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which('chromedriver')
    if found is None or driver is None:
        pytest.skip('no browser: sudo apt install chromium chromium-driver')
    options = Options()
    options.binary_location = found
    for argument in (*QUIET, f'--user-data-dir={profile}'):
        options.add_argument(argument)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    chrome = Chrome(options, Service(driver))
    try:
        chrome.execute_cdp_cmd('Network.enable', {})
        chrome.execute_cdp_cmd(
            'Network.emulateNetworkConditions',
            {'offline': True, 'latency': 0, 'downloadThroughput': 0, 'uploadThroughput': 0},
        )
        yield chrome
    finally:
        chrome.quit()


def look(chrome: Chrome, page: Path, width: int, height: int = 900, *, dark: bool = False) -> View:
    """Open a page on a screen of some size, scroll through it, and return what is to be seen."""
    from selenium.webdriver.support.wait import WebDriverWait

    metrics = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600}
    chrome.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
    chrome.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [scheme]})
    chrome.get_log('browser')
    chrome.get(page.resolve().as_uri())
    for plot in chrome.find_elements('css selector', '.plot'):
        if plot.is_displayed():
            chrome.execute_script('arguments[0].scrollIntoView()', plot)
            WebDriverWait(plot, SLOWEST_S).until(lambda each: each.get_attribute('data-drawn'))
    chrome.execute_script('window.scrollTo(0, 0)')
    shot = chrome.execute_cdp_cmd('Page.captureScreenshot', {'captureBeyondViewport': False})
    data = np.frombuffer(base64.b64decode(shot['data']), np.uint8)
    return View(
        [entry['message'] for entry in chrome.get_log('browser')],
        chrome.execute_script(MARKS),
        int(chrome.execute_script('return document.documentElement.scrollWidth')),
        np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8),
        str(chrome.execute_script('return document.body.textContent')),
    )

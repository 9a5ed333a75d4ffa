"""One self-contained HTML page: texts, tables, interactive plots and pictures in a single file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

if TYPE_CHECKING:
    import numpy as np
    import plotly.graph_objects as go
    from numpy.typing import NDArray

TEMPLATES = Path(__file__).parent / 'templates'
JPEG_QUALITY = 78
WIDEST_PICTURE = 1024


@dataclass(frozen=True)
class Note:
    """A line of text.

    Attributes:
        text: What it says.
        kind: 'note', 'good' or 'bad'.

    """

    text: str
    kind: str = 'note'


@dataclass(frozen=True)
class PageTable:
    """A table.

    Attributes:
        title: Above it.
        rows: Cells by rows; the first cell of a row is its name.
        columns: Heads of the columns; empty for none.

    """

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Plot:
    """An interactive plot.

    Attributes:
        title: Above it.
        figure: What to draw.
        tall: Whether it gets more height.

    """

    title: str
    figure: go.Figure
    tall: bool = False

    @property
    def json(self) -> str:
        """The figure as JSON that may stand inside of a script element."""
        text: str = self.figure.to_json()
        return text.replace('<', '\\u003c')


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture.

    Attributes:
        title: Above it.
        image: (H, W, 3) uint8, RGB.

    """

    title: str
    image: NDArray[np.uint8]

    @property
    def base64(self) -> str:
        """The picture as JPEG, shrunk where it is wider than the page.

        Raises:
            ValueError: It cannot be encoded.

        """
        image = self.image
        if image.shape[1] > WIDEST_PICTURE:
            ratio = WIDEST_PICTURE / image.shape[1]
            size = WIDEST_PICTURE, max(1, round(image.shape[0] * ratio))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        done, data = cv2.imencode(
            '.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        if not done:
            raise ValueError(f'{self.title}: a picture of {image.shape} cannot be encoded')
        return base64.b64encode(data.tobytes()).decode('ascii')


@dataclass(frozen=True)
class Section:
    """A part of the page that folds.

    Attributes:
        title: What folds and unfolds it.
        notes: Lines of text.
        tables: Tables, above the plots.
        plots: Plots, side by side where there is room.
        pictures: Pictures, below each other.
        open: Whether it is unfolded at first.

    """

    title: str
    notes: tuple[Note, ...] = ()
    tables: tuple[PageTable, ...] = ()
    plots: tuple[Plot, ...] = ()
    pictures: tuple[Picture, ...] = ()
    open: bool = False


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its name.
        lead: Lines of text below the title.
        cards: Names and values of the figures that matter most.
        sections: Its parts.

    """

    title: str
    lead: tuple[Note, ...] = ()
    cards: tuple[tuple[str, str], ...] = ()
    sections: tuple[Section, ...] = ()


def render(page: Page) -> str:
    """Return the page as HTML that needs no other file and no network.

    Texts come from bags and file names: all of them are escaped.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    parts: dict[str, Any] = {
        'style': (TEMPLATES / 'page.css').read_text(encoding='utf-8'),
        'script': (TEMPLATES / 'page.js').read_text(encoding='utf-8'),
        'plotly': get_plotlyjs(),
    }
    values = {name: getattr(page, name) for name in ('title', 'lead', 'cards', 'sections')}
    return environment.get_template('page.html').render(**values, **parts)


def write_page(path: Path, page: Page) -> None:
    """Write the page; never leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'{path.name}.part')
    part.write_text(render(page), encoding='utf-8')
    part.replace(path)

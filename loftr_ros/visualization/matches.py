"""Draw matches between two images; the colour of a line is the confidence of its match."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.visualization.images import to_display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loftr_ros.matching.matches import Matches

BACKGROUND = 24
STRIP_HEIGHT = 22
OUTLIER_COLOUR = (200, 60, 60)
# Viridis is perceptually uniform; its darkest tenth would vanish on dark images.
COLOUR_LEVELS = 32
COLOURS: NDArray[np.uint8] = np.ascontiguousarray(
    cv2.applyColorMap(
        np.linspace(25, 255, COLOUR_LEVELS).astype(np.uint8), cv2.COLORMAP_VIRIDIS
    ).reshape(-1, 3)[:, ::-1],
    np.uint8,
)
SUBPIXEL_BITS = 4


def draw_matches(
    reference_image: NDArray[Any],
    query_image: NDArray[Any],
    matches: Matches,
    inliers: NDArray[np.bool_] | None = None,
    *,
    caption: str | None = None,
    layout: str = 'auto',
    max_lines: int = 300,
    smooth: bool = True,
) -> NDArray[np.uint8]:
    """Draw two images and lines between their matches, coloured by confidence.

    Every match is marked by a dot in both images; at most `max_lines` of them, evenly spread
    over the matches, get a line. Where `inliers` is given, outliers are drawn first, in red.

    Args:
        reference_image: (H, W) or (H, W, 1|3|4), uint8, uint16 or float, in RGB order.
        query_image: Same, of any other size.
        matches: Matches in pixels of the two images.
        inliers: bool (N,), or None where all matches count alike.
        caption: Text below the images; by default the number of matches and inliers.
        layout: 'horizontal', 'vertical', or 'auto' to stack wide images.
        max_lines: Greatest number of lines.
        smooth: Draw lines without steps, which takes ten times as long.

    Returns:
        uint8 (H', W', 3), RGB: both images and a strip with caption and colour scale.

    Raises:
        ValueError: If an image, `layout` or the length of `inliers` is unusable.

    """
    if inliers is not None and inliers.shape != (len(matches),):
        msg = f'inliers has shape {inliers.shape}, expected ({len(matches)},).'
        raise ValueError(msg)
    canvas, offset = _compose(to_display(reference_image), to_display(query_image), layout)
    segments = np.stack([matches.reference_points, matches.query_points + offset], axis=1)
    kept = np.ones(len(matches), np.bool_) if inliers is None else inliers.astype(np.bool_)
    # Outliers come first and lie below; what is not finite has no place in the picture.
    order = np.argsort(kept, kind='stable')
    order = order[np.isfinite(segments[order]).all(axis=(1, 2))]
    drawn = segments[order], matches.confidence[order], kept[order]
    _draw_segments(canvas, *drawn, max_lines, cv2.LINE_AA if smooth else cv2.LINE_8)
    if caption is None:
        caption = _count_caption(len(matches), None if inliers is None else int(kept.sum()))
    _draw_strip(canvas, caption)
    return canvas


def _compose(
    reference: NDArray[np.uint8], query: NDArray[np.uint8], layout: str
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Place both images on one canvas; return it and the offset of the query's origin."""
    (height0, width0), (height1, width1) = reference.shape[:2], query.shape[:2]
    if layout not in {'auto', 'horizontal', 'vertical'}:
        msg = f"layout is 'auto', 'horizontal' or 'vertical', not {layout!r}."
        raise ValueError(msg)
    vertical = layout == 'vertical' or (
        layout == 'auto' and width0 + width1 > 2 * (height0 + height1)
    )
    if vertical:
        height, width, x, y = height0 + height1, max(width0, width1), 0, height0
    else:
        height, width, x, y = max(height0, height1), width0 + width1, width0, 0
    canvas = np.full((height + STRIP_HEIGHT, max(width, 1), 3), BACKGROUND, np.uint8)
    canvas[:height0, :width0] = reference
    canvas[y : y + height1, x : x + width1] = query
    return canvas, np.array([x, y], np.float32)


def _draw_segments(
    canvas: NDArray[np.uint8],
    segments: NDArray[np.float32],
    confidence: NDArray[np.float32],
    kept: NDArray[np.bool_],
    max_lines: int,
    line_type: int,
) -> None:
    """Draw dots for all segments (N, 2, 2) and lines for some of them, in the order given."""
    clean = np.clip(np.nan_to_num(confidence), 0, 1)
    levels = np.round(clean * (COLOUR_LEVELS - 1)).astype(np.intp)
    fixed_point = np.round(segments * (1 << SUBPIXEL_BITS))
    lines = np.clip(fixed_point, -(2**20), 2**20).astype(np.int32)
    lined = np.linspace(0, len(lines) - 1, min(max_lines, len(lines))).astype(np.intp)
    _draw_lines(canvas, lines[lined][~kept[lined]], OUTLIER_COLOUR, line_type)
    lined = lined[kept[lined]]
    for level in np.unique(levels[lined]):
        of_level = lines[lined[levels[lined] == level]]
        _draw_lines(canvas, of_level, COLOURS[level].tolist(), line_type)
    colours = COLOURS[levels]
    colours[~kept] = OUTLIER_COLOUR
    _draw_dots(canvas, segments, colours)


def _draw_lines(
    canvas: NDArray[np.uint8], lines: NDArray[np.int32], colour: Sequence[int], line_type: int
) -> None:
    """Draw lines of one colour: one call for all of them keeps a debug topic cheap."""
    cv2.polylines(canvas, list(lines), False, colour, 1, line_type, SUBPIXEL_BITS)


def _draw_dots(
    canvas: NDArray[np.uint8], segments: NDArray[np.float32], colours: NDArray[np.uint8]
) -> None:
    """Mark both ends of each segment by 3 x 3 pixels; later ones cover earlier ones."""
    height, width = canvas.shape[0] - STRIP_HEIGHT, canvas.shape[1]
    if not height:
        return
    bounds = np.array([width - 1, height - 1])
    centres = np.clip(np.round(segments), -2, bounds + 2).astype(np.int32)
    steps = np.array([-1, 0, 1], np.int32)
    columns = np.clip(centres[:, :, None, None, 0] + steps, 0, width - 1)
    rows = np.clip(centres[:, :, None, None, 1] + steps[:, None], 0, height - 1)
    # One index a pixel: NumPy is several times faster with it than with rows and columns.
    pixels = (rows * width + columns).reshape(-1)
    canvas.reshape(-1, 3)[pixels] = np.repeat(colours, 18, axis=0)


def _count_caption(count: int, inliers: int | None) -> str:
    noun = 'match' if count == 1 else 'matches'
    if inliers is None:
        return f'{count} {noun}'
    return f'{count} {noun}, {inliers} inlier{"" if inliers == 1 else "s"}'


def _draw_strip(canvas: NDArray[np.uint8], caption: str) -> None:
    """Write the caption and, where there is room, the scale of the confidence."""
    height, width = canvas.shape[:2]
    top = height - STRIP_HEIGHT
    canvas[top:] = BACKGROUND
    baseline = height - 7
    _put_text(canvas, caption, 6, baseline)
    scale = 96
    legend = width - scale - 24
    label = 'confidence 0'
    label_width = _text_width(label)
    if legend - label_width - 12 <= 6 + _text_width(caption):
        return
    _put_text(canvas, label, legend - label_width - 6, baseline)
    bar = np.repeat(COLOURS, scale // COLOUR_LEVELS, axis=0)
    canvas[top + 6 : height - 6, legend : legend + len(bar)] = bar
    _put_text(canvas, '1', legend + scale + 6, baseline)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0])


def _put_text(canvas: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, text, (x, y), font, 0.42, (235, 235, 235), 1, cv2.LINE_AA)

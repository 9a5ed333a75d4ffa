"""Points followed between two images of the same texture, whatever the camera's exposure."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend.optical_flow import EvenImage, follow

SHIFT = np.array([3.25, -1.75], np.float32)
ROWS, COLUMNS = np.mgrid[30:210:15, 30:290:15]
POINTS = np.column_stack([COLUMNS.ravel(), ROWS.ravel()]).astype(np.float32)


def texture(shift: npt.ArrayLike = (0, 0)) -> npt.NDArray[np.uint8]:
    """Return an image of smooth noise whose content is moved by `shift`, px."""
    noise = np.random.default_rng(3).normal(size=(280, 360))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    x, y = np.asarray(shift, np.float64) - 20.0
    move = np.array([[1.0, 0, x], [0, 1.0, y]])
    moved = cv2.warpAffine(smooth / smooth.std(), move, (320, 240), flags=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 25 * moved, 0, 255), np.uint8)


def found_shift(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    followed = follow(EvenImage.of(first), EvenImage.of(second), POINTS, POINTS)
    assert followed.found.mean() > 0.95
    return np.asarray(np.abs(followed.points - POINTS - SHIFT)[followed.found], np.float64)


@pytest.mark.parametrize(
    'seen',
    [
        lambda image: image,
        lambda image: (0.6 * image + 40).astype(np.uint8),
        lambda image: image.astype(np.uint16) * 200,
        lambda image: image.astype(np.float32) / 255,
        lambda image: np.repeat(image[:, :, None], 3, axis=2),
        lambda image: image[:, :, None],
    ],
    ids=['same', 'exposure', 'uint16', 'float32', 'rgb', 'one channel'],
)
def test_points_are_found_to_a_twentieth_of_a_pixel(seen: Any) -> None:  # noqa: ANN401
    assert np.median(found_shift(texture(), seen(texture(SHIFT)))) < 0.05


def test_a_good_prediction_reaches_farther_than_the_pyramid() -> None:
    far = np.array([60.0, 0.0], np.float32)
    first, second = EvenImage.of(texture()), EvenImage.of(texture(far))
    inside = POINTS[POINTS[:, 0] < 230]
    alone = follow(first, second, inside, inside)
    predicted = follow(first, second, inside, inside + far + 2.0)
    right = np.linalg.norm(predicted.points - inside - far, axis=1) < 0.2
    assert (predicted.found & right).mean() > 0.95
    assert alone.found.mean() < 0.5


def test_hardly_a_covered_point_is_found() -> None:
    covered = texture(SHIFT)
    covered[:, 160:] = texture((90, 70))[:, 160:]
    followed = follow(EvenImage.of(texture()), EvenImage.of(covered), POINTS, POINTS)
    assert followed.found[POINTS[:, 0] < 140].mean() > 0.95
    assert followed.found[POINTS[:, 0] > 180].mean() < 0.2


def test_the_deviation_grows_with_the_distance_at_which_a_point_comes_back() -> None:
    rng = np.random.default_rng(4)
    noisy = np.clip(texture(SHIFT) + rng.normal(0, 20, (240, 320)), 0, 255).astype(np.uint8)
    clean, noise = (
        follow(EvenImage.of(texture()), EvenImage.of(image), POINTS, POINTS)
        for image in (texture(SHIFT), noisy)
    )
    assert np.median(noise.sigma[noise.found]) > np.median(clean.sigma[clean.found])


def test_an_image_without_contrast_holds_no_point() -> None:
    flat = EvenImage.of(np.full((240, 320), 7, np.uint8))
    assert not follow(EvenImage.of(texture()), flat, POINTS, POINTS).found.any()
    assert not follow(flat, flat, POINTS, POINTS).found.any()


def test_no_points_stay_none() -> None:
    nothing = np.empty((0, 2), np.float32)
    image = EvenImage.of(texture())
    assert len(follow(image, image, nothing, nothing).points) == 0

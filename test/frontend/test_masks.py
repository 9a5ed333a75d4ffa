"""Masks go to the views that they are of."""

import numpy as np

from loftr_ros.frontend import Frame, Masks, RightView

HEIGHT, WIDTH = 120, 160
LEFT_HALF = np.repeat(np.arange(WIDTH)[None] < WIDTH // 2, HEIGHT, axis=0)


def test_masks_of_left_and_right_go_to_left_and_right() -> None:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    camera = Frame(0, image).camera
    right = RightView(image, camera, np.eye(4))  # type: ignore[arg-type]

    frame = Masks(LEFT_HALF, ~LEFT_HALF).put_on(Frame(0, image, right=right))

    np.testing.assert_array_equal(frame.mask, LEFT_HALF)
    assert frame.right is not None
    np.testing.assert_array_equal(frame.right.mask, ~LEFT_HALF)

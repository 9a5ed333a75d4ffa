from pathlib import Path

import cv2
import numpy as np
import pytest

from loftr_ros.rendering.procedural import procedural_texture


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of made-up pictures."""
    folder = tmp_path / 'photographs'
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(6):
        cv2.imwrite(str(folder / f'p{number}.png'), procedural_texture(64, rng))
    return folder

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from loftr_ros.matching.alignment import LONGEST_WAY, Aligned, align, find_corners, local_affine
from loftr_ros.matching.config import LITE, OUTDOOR, LoFTRConfig
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.matching.network import LoFTR
from loftr_ros.rendering.procedural import procedural_texture

HEIGHT, WIDTH = 192, 256
GRID = HEIGHT // 16, WIDTH // 16


def texture(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    image = procedural_texture(512, np.random.default_rng(3))[:height, :width]
    return torch.from_numpy(np.asarray(image, np.float32) / 255)[None, None]


def warped(image: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """The image seen so that a pixel x appears at matrix @ x + shift."""
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    target = torch.stack([x, y], dim=-1).float() - shift
    source = target @ torch.linalg.inv(matrix).T
    size = torch.tensor([width - 1, height - 1])
    grid = 2 * source / size - 1
    return torch.nn.functional.grid_sample(
        image, grid[None], mode='bicubic', padding_mode='reflection', align_corners=True
    )


def aligned(
    image0: Tensor, image1: Tensor, points1: Tensor, config: LoFTRConfig = LITE
) -> tuple[Aligned, Tensor]:
    """Align the inner cells, whose centres are first guessed to appear at points1 (L, 2)."""
    rows, columns = GRID
    cells = torch.arange(rows * columns).view(rows, columns)[2:-2, 2:-2].flatten()
    centres = cell_centres(config, cells, columns)
    corners = find_corners(image0, config, GRID)
    known = torch.ones(len(cells), dtype=torch.bool)
    matches = (torch.zeros_like(cells), cells, centres, points1[cells], known)
    return align((image0, image1), corners, matches, config, GRID), cells


def moved_centres(matrix: Tensor, shift: Tensor) -> Tensor:
    return cell_centres(LITE, torch.arange(GRID[0] * GRID[1]), GRID[1]) @ matrix.T + shift


def rotation(degrees: float, scale: float = 1.0) -> Tensor:
    angle = np.radians(degrees)
    matrix = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return torch.tensor(scale * np.array(matrix), dtype=torch.float32)


@pytest.mark.parametrize(
    ('matrix', 'shift'),
    [
        (rotation(0), (3.3, -1.6)),
        (rotation(0, 1.15), (-16.0, -11.0)),
        (rotation(12), (20.0, -18.0)),
        (torch.tensor([[1.0, 0.15], [0.0, 0.9]]), (-10.0, 8.0)),
    ],
)
@pytest.mark.parametrize(('gain', 'offset'), [(1.0, 0.0), (0.5, 0.3)])
def test_points_land_within_a_fifth_of_a_pixel(
    matrix: Tensor, shift: tuple[float, float], gain: float, offset: float
) -> None:
    """Whatever the motion, and whatever the exposure does."""
    image, by = texture(), torch.tensor(shift)
    other = gain * warped(image, matrix, by) + offset
    noise = torch.Generator().manual_seed(1)
    guess = moved_centres(matrix, by) + torch.randn(GRID[0] * GRID[1], 2, generator=noise)

    found, _ = aligned(image, other, guess)

    error = (found.points1 - (found.points0 @ matrix.T + by)).norm(dim=-1)
    assert found.aligned.float().mean() > 0.6
    assert error[found.aligned].median() < 0.2
    assert error[found.aligned].median() < error[~found.aligned].median()


def test_a_smaller_deviation_promises_a_smaller_error() -> None:
    image, by = texture(), torch.tensor([2.4, 1.3])
    noise = torch.Generator().manual_seed(4)
    other = warped(image, rotation(3), by)
    other = other + 0.03 * torch.randn(other.shape, generator=noise)
    guess = moved_centres(rotation(3), by) + torch.randn(GRID[0] * GRID[1], 2, generator=noise)

    found, _ = aligned(image, other, guess)

    error = (found.points1 - (found.points0 @ rotation(3).T + by)).norm(dim=-1)[found.aligned]
    order = found.deviation[found.aligned].argsort()
    third = len(order) // 3
    assert error[order[:third]].median() < 0.7 * error[order[-third:]].median()


def test_points_without_texture_or_without_likeness_stay_where_they_were() -> None:
    image, still = texture(), torch.zeros(2)
    guess = moved_centres(rotation(0), still)
    for other in (torch.full_like(image, 0.5), texture().flip(-1).flip(-2)):
        found, _ = aligned(image, other, guess)

        assert found.aligned.float().mean() < 0.1
        torch.testing.assert_close(
            found.points1[~found.aligned], found.points0[~found.aligned], rtol=0, atol=1e-3
        )


def test_blurred_images_are_left_to_the_fine_level() -> None:
    image, by = texture(), torch.tensor([1.0, 0.0])
    smear = torch.ones(1, 1, 1, 21) / 21
    blurred = torch.nn.functional.conv2d(image, smear, padding=(0, 10))
    other = torch.nn.functional.conv2d(warped(image, rotation(0), by), smear.mT, padding=(10, 0))
    guess = moved_centres(rotation(0), by)

    sharp, _ = aligned(image, warped(image, rotation(0), by), guess)
    found, _ = aligned(blurred, other, guess)

    assert found.aligned.float().mean() < 0.5 * sharp.aligned.float().mean()


def test_corners_lie_in_their_quarters_and_on_what_a_mask_allows() -> None:
    allowed = torch.ones(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    allowed[..., 60:130, 90:200] = False
    config = dataclasses.replace(LITE, aligned_points=4)

    corners = find_corners(texture(), config, GRID, allowed)

    x, y = corners.pixels.unbind(-1)
    row, column = corners.cells // (2 * GRID[1]), corners.cells % (2 * GRID[1])
    use = corners.usable
    assert 0.5 < use.float().mean() < 1
    assert ((x >= column * 8 - 6) & (x < column * 8 + 2))[use].all()
    assert ((y >= row * 8 - 6) & (y < row * 8 + 2))[use].all()
    assert allowed[0, 0, y[use].long(), x[use].long()].all()
    centres = cell_centres(LITE, torch.arange(GRID[0] * GRID[1]), GRID[1])[None, :, None]
    assert (corners.pixels == centres).all(dim=-1)[~use].all()


def test_the_affine_motion_is_that_of_the_matches_around() -> None:
    matrix, by = rotation(20, 1.2), torch.tensor([5.0, -3.0])
    cells = torch.arange(GRID[0] * GRID[1])
    centres = cell_centres(LITE, cells, GRID[1])
    motion = centres @ matrix.T + by - centres
    found = torch.ones(len(cells), dtype=torch.bool)
    motion[50] = 300.0  # an outlier
    motion[70] = torch.nan  # as where half precision overflows

    affine = local_affine((torch.zeros_like(cells), cells, motion, found), (1, *GRID), LITE)

    inner = torch.zeros(GRID, dtype=torch.bool)
    inner[2:-2, 2:-2] = True
    inner.view(-1)[[50, 70]] = False
    assert affine.isfinite().all()
    # It tends to a shift, by the weight of one cell at a distance of one and a half.
    assert (affine[inner.flatten()] - matrix).abs().max() < 0.05


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 1e3, float('nan'), float('inf')]))
def test_any_image_and_any_guess_end_in_points_near_the_guess(seed: int, corrupted: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    image0, image1 = torch.rand(2, 1, 1, HEIGHT, WIDTH, generator=generator).unbind()
    guess = 300 * torch.rand(GRID[0] * GRID[1], 2, generator=generator)
    guess[::7] = corrupted

    found, cells = aligned(image0, image1, guess)

    # On an image that shows nothing the same points stay where they were.
    start, _ = aligned(image0, torch.zeros_like(image1), guess)
    assert not start.aligned.any()
    near = found.points1[found.aligned]
    assert ((near - start.points1[found.aligned]).norm(dim=-1) < LONGEST_WAY + 1e-3).all()
    assert ((near >= 0) & (near <= torch.tensor([WIDTH - 1.0, HEIGHT - 1.0]))).all()
    assert not found.aligned[~guess[cells].isfinite().all(dim=1)].any()


def test_pairs_of_a_batch_are_aligned_as_each_by_itself() -> None:
    torch.manual_seed(0)
    network = LoFTR(LITE).eval()
    images0 = torch.cat([texture(), texture().flip(-1)])
    images1 = torch.cat(
        [warped(image[None], rotation(2), torch.tensor([2.5, 1.5])) for image in images0]
    )
    with torch.inference_mode():
        together = network.match(network.encode(images0), network.encode(images1), 0.0)
        for index in range(2):
            part = slice(index, index + 1)
            alone = network.match(network.encode(images0[part]), network.encode(images1[part]), 0.0)
            own = together.coarse.batch == index
            assert torch.equal(together.cells[own], alone.cells)
            torch.testing.assert_close(together.points1[own], alone.points1, rtol=0, atol=2e-3)
    assert together.aligned.any()


def test_the_paper_s_configurations_align_nothing() -> None:
    assert OUTDOOR.aligned_points == 0
    with pytest.raises(ValueError, match='aligned_points must be from 0 to 4, not 5'):
        dataclasses.replace(OUTDOOR, aligned_points=5)

"""The pairs of a training run: rendered scenes, real sequences, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from loftr_ros.training.pairs import PairSource, RenderedPairs, SharedPairs
from loftr_ros.training.photographs import load_bank, split_photographs
from loftr_ros.training.reconstructions import split_scenes
from loftr_ros.training.scenes import SceneSampler
from loftr_ros.training.sequences import PosedFrame, SequencePairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loftr_ros.matching.config import LoFTRConfig
    from loftr_ros.rendering.textures import TextureBank
    from loftr_ros.training.options import TrainOptions
    from loftr_ros.training.reconstructions import Reconstruction

HELD_OUT_SEED = 12345
CALIBRATION_SEED = 54321
HELD_OUT_SHARE = 0.15
SPARSE_OVERLAP = (0.05, 0.97)
"""Of a reconstruction, whose depth is known in a part of the image."""


class TrainingData:
    """Photographs and frames, parted once into those to learn from and those held out."""

    def __init__(
        self,
        options: TrainOptions,
        config: LoFTRConfig,
        sequences: Sequence[Sequence[PosedFrame]] = (),
        reconstructions: Sequence[Reconstruction] = (),
    ) -> None:
        """Load the photographs onto the training device.

        Raises:
            ValueError: There are too few photographs or frames.
        """
        if bool(options.sequences) != bool(sequences):
            raise ValueError('the frames of the sequences must be given together with their paths')
        if bool(options.reconstructions) != bool(reconstructions):
            raise ValueError('reconstructions must be given together with their paths')
        self.options = options
        self.config = config
        self.device = torch.device(options.device)
        self._banks: tuple[TextureBank, TextureBank] | None = None
        if options.photographs is not None:
            training, held_out = split_photographs(options.photographs, options.exclude)
            self._banks = load_bank(training).to(self.device), load_bank(held_out).to(self.device)
        parts = [split_frames(frames) for frames in sequences]
        self._frames = [part[0] for part in parts]
        self._held_out_frames = [part[1] for part in parts]
        self.scenes, self.held_out_scenes = split_scenes([one.scene for one in reconstructions])
        self.skipped: dict[str, None] = {}
        """Why models are not drawn from; a dictionary keeps the order and repeats nothing."""
        self._models = [one for one in reconstructions if one.scene in self.scenes]
        if self._banks is None and not sequences and not self.held_out_scenes:
            raise ValueError(
                'nothing is held out of a single reconstruction: add photographs or another scene'
            )
        self._held_out_models = [one for one in reconstructions if one.scene not in self.scenes]

    def training(self, seed: int) -> PairSource:
        """Pairs to learn from: rendered ones, real ones, or both with the share of the options."""
        generator = self._generator(seed)
        rendered = None if self._banks is None else self._rendered(self._banks[0], generator)
        if rendered is not None and not self._frames and not self._models:
            return rendered
        real = self._real(self._frames, self._models, generator)
        if rendered is None:
            return real
        share = self.options.sequence_share
        return SharedPairs([rendered, real], [1 - share, share], generator)

    def held_out(self, seed: int = HELD_OUT_SEED) -> PairSource:
        """Always the same pairs: of photographs where there are any, else real ones."""
        generator = self._generator(seed)
        if self._banks is not None:
            return self._rendered(self._banks[1], generator)
        return self._real(self._held_out_frames, self._held_out_models, generator)

    def held_out_reconstructions(self, seed: int = HELD_OUT_SEED) -> PairSource | None:
        """Always the same pairs of scenes held out, as they are; None where there are none.

        Why a scene has none is noted in `skipped`.
        """
        generator = self._generator(seed)
        if all(self._of_model(one, generator, False) is None for one in self._held_out_models):
            return None
        return self._real([], self._held_out_models, self._generator(seed), degraded=False)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)

    def _rendered(self, bank: TextureBank, generator: torch.Generator) -> RenderedPairs:
        sampler = SceneSampler(bank.count, generator)
        return RenderedPairs(sampler, bank, self.config, self.options.size)

    def _real(
        self,
        sequences: Sequence[Sequence[PosedFrame]],
        models: Sequence[Reconstruction],
        generator: torch.Generator,
        *,
        degraded: bool = True,
    ) -> PairSource:
        """Pairs within each sequence, all equally often, and each model, by its images."""
        size = self.options.size
        sources = [
            SequencePairs(frames, self.config, size, generator, degraded=degraded)
            for frames in sequences
        ]
        shares = [1.0] * len(sources)
        found = [(self._of_model(model, generator, degraded), model) for model in models]
        usable = [(source, len(model.frames)) for source, model in found if source is not None]
        if not sources and not usable:
            raise ValueError('; '.join(self.skipped))
        images = sum(count for _, count in usable)
        shares += [len(usable) * count / images for _, count in usable]
        return SharedPairs([*sources, *(source for source, _ in usable)], shares, generator)

    def _of_model(
        self, model: Reconstruction, generator: torch.Generator, degraded: bool
    ) -> SequencePairs | None:
        """Pairs of a model; None where no two of its images see the same, which is noted."""
        size, overlap = self.options.size, SPARSE_OVERLAP
        try:
            return SequencePairs(
                model.frames, self.config, size, generator, degraded=degraded, overlap=overlap
            )
        except ValueError as error:
            self.skipped[f'reconstruction {model.scene}: {error}'] = None
            return None


def held_out_sets(
    config: LoFTRConfig,
    size: tuple[int, int],
    seed: int,
    *,
    photographs: Path | None = None,
    exclude: tuple[str, ...] = (),
    sequences: Mapping[str, Sequence[PosedFrame]],
) -> dict[str, PairSource]:
    """Pairs (H, W) with known truth that training on photographs did not see, by name.

    Args:
        config: Of the network that will match them.
        size: Height and width of the images.
        seed: Of the pairs.
        photographs: Folder of which the held-out part is used; None for none.
        exclude: As in the training.
        sequences: Frames of real sequences, by name; their images stay as they are.

    Raises:
        ValueError: There are too few photographs or frames, or none at all.
    """
    sets: dict[str, PairSource] = {}
    if photographs is not None:
        _, held_out = split_photographs(photographs, exclude)
        bank = load_bank(held_out)
        sampler = SceneSampler(bank.count, torch.Generator().manual_seed(seed))
        sets['held-out photographs'] = RenderedPairs(sampler, bank, config, size)
    for name, frames in sequences.items():
        generator = torch.Generator().manual_seed(seed)
        sets[name] = SequencePairs(frames, config, size, generator, degraded=False)
    if not sets:
        raise ValueError('there is nothing to measure on: give photographs or sequences')
    return sets


def split_frames(
    frames: Sequence[PosedFrame],
) -> tuple[list[PosedFrame], list[PosedFrame]]:
    """Frames to learn from and the last ones, held out: neighbours in time show the same.

    Raises:
        ValueError: There are too few frames.
    """
    held_out = max(round(HELD_OUT_SHARE * len(frames)), 2)
    if len(frames) - held_out < 2:
        raise ValueError(f'{len(frames)} frames with depth and pose; at least 4 are needed')
    return list(frames[:-held_out]), list(frames[-held_out:])

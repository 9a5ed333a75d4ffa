"""The pairs of a training run: rendered scenes, real sequences, or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .pairs import MixedPairs, PairSource, RenderedPairs
from .photographs import load_bank, split_photographs
from .scenes import SceneSampler
from .sequences import PosedFrame, SequencePairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from loftr_ros.matching.config import LoFTRConfig
    from loftr_ros.rendering.textures import TextureBank

    from .options import TrainOptions

HELD_OUT_SEED = 12345
CALIBRATION_SEED = 54321
HELD_OUT_SHARE = 0.15


class TrainingData:
    """Photographs and frames, parted once into those to learn from and those held out."""

    def __init__(
        self,
        options: TrainOptions,
        config: LoFTRConfig,
        sequences: Sequence[Sequence[PosedFrame]] = (),
    ) -> None:
        """Load the photographs onto the training device.

        Raises:
            ValueError: There are too few photographs or frames.
        """
        if bool(options.sequences) != bool(sequences):
            raise ValueError('the frames of the sequences must be given together with their paths')
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

    def training(self, seed: int) -> PairSource:
        """Pairs to learn from."""
        generator = self._generator(seed)
        sources: list[PairSource] = []
        if self._banks is not None:
            sources.append(self._rendered(self._banks[0], generator))
        if self._frames:
            sources.append(self._sequences(self._frames, generator))
        if len(sources) == 1:
            return sources[0]
        return MixedPairs(sources[0], sources[1], self.options.sequence_share, generator)

    def held_out(self, seed: int = HELD_OUT_SEED) -> PairSource:
        """Always the same pairs: of photographs where there are any, else of sequences."""
        generator = self._generator(seed)
        if self._banks is not None:
            return self._rendered(self._banks[1], generator)
        return self._sequences(self._held_out_frames, generator)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(seed)

    def _rendered(self, bank: TextureBank, generator: torch.Generator) -> RenderedPairs:
        sampler = SceneSampler(bank.count, generator)
        return RenderedPairs(sampler, bank, self.config, self.options.size)

    def _sequences(
        self, parts: Sequence[Sequence[PosedFrame]], generator: torch.Generator
    ) -> PairSource:
        """Pairs within each sequence; every sequence is drawn from equally often."""
        size = self.options.size
        sources = [SequencePairs(frames, self.config, size, generator) for frames in parts]
        mixed: PairSource = sources[0]
        for number, source in enumerate(sources[1:], start=2):
            mixed = MixedPairs(mixed, source, 1 / number, generator)
        return mixed


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

"""What one training run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class TrainOptions:
    """What one training run is.

    Attributes:
        photographs: Folder of photographs.
        output: Folder of checkpoints and the progress table.
        steps: Total steps, those of earlier pieces included.
        batch: Pairs per step.
        width: Image width, px.
        height: Image height, px.
        learning_rate: Peak rate of AdamW.
        warmup_steps: Steps of linear increase.
        decay_steps: Steps of cosine decay at the end of ``steps``.
        fine_weight: Weight of the fine loss.
        fine_matches: True matches per pair whose windows are refined.
        seed: Of weights and pairs.
        device: ``cpu`` or ``cuda``.
        mixed_precision: bfloat16 in the backbone and the transformers.
        exclude: Photographs whose name contains one of these words are left out.
        every: Steps between rows of the table and checkpoints.
        minutes: Stop (and save) after this time; 0 means no limit.
    """

    photographs: Path
    output: Path
    steps: int = 20000
    batch: int = 8
    width: int = 320
    height: int = 240
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    decay_steps: int = 4000
    fine_weight: float = 1.0
    fine_matches: int = 40
    seed: int = 0
    device: str = 'cpu'
    mixed_precision: bool = True
    exclude: tuple[str, ...] = ()
    every: int = 250
    minutes: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be trained with.

        Raises:
            ValueError: Says which and what is expected.
        """
        for name in ('steps', 'batch', 'warmup_steps', 'fine_matches', 'every'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, not {getattr(self, name)}')
        if self.width % 16 or self.height % 16 or min(self.width, self.height) < 64:
            raise ValueError('width and height must be multiples of 16 and at least 64')
        if self.learning_rate <= 0 or self.decay_steps < 0 or self.minutes < 0:
            raise ValueError('learning_rate must be positive, decay_steps and minutes not negative')

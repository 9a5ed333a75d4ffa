"""What one training run is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What one training run is: the keys of a configuration file and the flags of the command.

    Attributes:
        photographs: Folder of photographs, the textures of rendered scenes; None for none.
        output: Folder of checkpoints, weights and the progress table.
        sequences: Folders of datasets, or bags, with depth (or a right camera) and poses.
        reconstructions: Folders of COLMAP workspaces, each a scene.
        sequence_share: Share of the pairs that come from sequences and reconstructions.
        init: Weights to start from, a name or a file; None for random ones.
        resume: Checkpoint to go on from. Like ``init`` it only counts while the output has none.
        steps: Total steps, those of earlier pieces included; 0 just calibrates ``init`` anew.
        batch: Pairs per step.
        width: Image width, px.
        height: Image height, px.
        learning_rate: Peak rate of AdamW.
        average_decay: Of the moving average of the weights, per step; the average is validated and
            exported. 0 takes the weights as they are.
        warmup_steps: Steps of linear increase.
        decay_steps: Steps of cosine decay at the end of ``steps``.
        loss_power: q of the generalized cross-entropy of true cells; 0: the paper's focal loss.
        fine_weight: Weight of the fine loss.
        fine_matches: True matches per pair whose windows are refined.
        fine_every: Steps from one with the fine loss to the next; those between cost less.
        seed: Of weights and pairs.
        device: ``cpu`` or ``cuda``.
        mixed_precision: bfloat16 in the backbone and the transformers.
        exclude: Photographs whose name contains one of these words are left out.
        every: Steps between rows of the table and checkpoints.
        keep_every: Steps between checkpoints that are kept beside the last one; 0 keeps none.
        validation_pairs: Held-out pairs behind each row of the table.
        tensorboard: Write the figures for TensorBoard, too.
        minutes: Stop (and save) after this time; 0 means no limit.
    """

    photographs: Path | None
    output: Path
    sequences: tuple[Path, ...] = ()
    reconstructions: tuple[Path, ...] = ()
    sequence_share: float = 0.5
    init: str | None = None
    resume: Path | None = None
    steps: int = 20000
    batch: int = 8
    width: int = 320
    height: int = 240
    learning_rate: float = 1e-3
    average_decay: float = 0.998
    warmup_steps: int = 300
    decay_steps: int = 4000
    loss_power: float = 0.0
    fine_weight: float = 1.0
    fine_matches: int = 40
    fine_every: int = 1
    seed: int = 0
    device: str = 'cpu'
    mixed_precision: bool = True
    exclude: tuple[str, ...] = ()
    every: int = 250
    keep_every: int = 0
    validation_pairs: int = 64
    tensorboard: bool = False
    minutes: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with.

        Raises:
            ValueError: Says which and what is expected.
        """
        if self.steps < 0:
            raise ValueError(f'steps must be at least 0, not {self.steps}')
        for name in (
            'batch',
            'warmup_steps',
            'fine_matches',
            'fine_every',
            'every',
            'validation_pairs',
        ):
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, not {getattr(self, name)}')
        if self.width % 16 or self.height % 16 or min(self.width, self.height) < 64:
            raise ValueError('width and height must be multiples of 16 and at least 64')
        if not 0 <= self.loss_power <= 1:
            raise ValueError(f'loss_power must be within [0, 1], not {self.loss_power}')
        if self.learning_rate <= 0 or min(self.decay_steps, self.minutes, self.keep_every) < 0:
            raise ValueError(
                'learning_rate must be positive, decay_steps, minutes and keep_every not negative'
            )
        if not 0 < self.sequence_share <= 1:
            raise ValueError(f'sequence_share must be within (0, 1], not {self.sequence_share}')
        if not 0 <= self.average_decay < 1:
            raise ValueError(f'average_decay must be within [0, 1), not {self.average_decay}')
        if self.photographs is None and not self.sequences and not self.reconstructions:
            raise ValueError(
                'there is nothing to train on: give photographs, sequences or reconstructions'
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images, px."""
        return self.height, self.width

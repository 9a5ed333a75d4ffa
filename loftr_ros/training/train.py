"""The training loop: resumable, on any device, with a table of its progress."""

from __future__ import annotations

import csv
import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from loftr_ros.matching.coarse_matching import CoarseMatches
from loftr_ros.matching.config import LITE, LoFTRConfig
from loftr_ros.matching.fine_matching import expected_offset
from loftr_ros.matching.network import FeatureMaps, LoFTR, NetworkMatches
from loftr_ros.matching.weights import save_weights
from loftr_ros.rendering.planes import transfer
from loftr_ros.rendering.textures import TextureBank

from .losses import coarse_loss, fine_loss
from .options import TrainOptions
from .pairs import Labels, TrainingPairs, make_pairs
from .photographs import load_bank, split_photographs
from .scenes import SceneSampler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


CORRECT_PX = 8.0
"""Residuals up to half a coarse cell are errors of the refinement; beyond, the cell is wrong."""


class Trainer:
    """Network, optimizer and pair source; ``run`` goes on where a checkpoint stopped."""

    def __init__(self, options: TrainOptions, config: LoFTRConfig = LITE) -> None:
        self.options = options
        self.config = config
        self.device = torch.device(options.device)
        torch.manual_seed(options.seed)
        network = LoFTR(config).to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=1e-3
        )
        self.step = 0
        self.pairs = 0
        self.seconds = 0.0
        training, validation = split_photographs(options.photographs, options.exclude)
        self.bank = load_bank(training).to(self.device)
        self.validation_bank = load_bank(validation).to(self.device)
        options.output.mkdir(parents=True, exist_ok=True)
        self.checkpoint = options.output / 'checkpoint.pt'
        if self.checkpoint.exists():
            self.load()

    def load(self) -> None:
        """Take up the state of an earlier piece."""
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state['network'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.step, self.pairs = state['step'], state['pairs']
        self.seconds = state['seconds']

    def save(self) -> None:
        """Write the state so that a crash in between leaves the old one."""
        state = {
            'network': self.network.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'step': self.step,
            'pairs': self.pairs,
            'seconds': self.seconds,
            'config': self.config.to_dict(),
        }
        partial = self.checkpoint.with_suffix('.partial')
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def export(self) -> Path:
        """Write the weights as the matcher loads them, with sigma calibrated on held-out pairs."""
        scale = self.network.config.sigma_scale * self.sigma_ratio()
        calibrated = LoFTR(dataclasses.replace(self.config, sigma_scale=round(scale, 3)))
        calibrated.load_state_dict(self.network.state_dict())
        path = self.options.output / 'weights.safetensors'
        save_weights(calibrated, path, {'training_pairs': str(self.pairs)})
        return path

    def sampler(self, bank: TextureBank, seed: int) -> SceneSampler:
        """Scene source with a seed of its own."""
        generator = torch.Generator(self.device).manual_seed(seed)
        return SceneSampler(bank.count, generator)

    def run(self) -> None:
        """Train up to ``steps`` or ``minutes``, whichever comes first."""
        options = self.options
        # The step is part of the seed: a resumed piece draws new pairs, reproducibly.
        sampler = self.sampler(self.bank, options.seed * 1_000_003 + self.step)
        started = time.monotonic()
        base, sums, count, late = self.seconds, np.zeros(2), 0, False
        for pairs in self.stream(sampler):
            if late or self.step >= options.steps:
                break
            sums += self.train_step(pairs)
            count += 1
            self.step += 1
            self.pairs += len(pairs.images0)
            self.seconds = base + time.monotonic() - started
            late = 0 < 60 * options.minutes < self.seconds - base
            if self.step % options.every == 0 or self.step == options.steps or late:
                self.report(sums / count)
                self.save()
                sums, count = np.zeros(2), 0

    def stream(self, sampler: SceneSampler) -> Iterator[TrainingPairs]:
        """Batches without end, each made while the one before is trained on."""
        size = (self.options.height, self.options.width)
        arguments = (sampler, self.bank, self.config, self.options.batch, size)
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(make_pairs, *arguments)
            while True:
                pairs, following = following.result(), pool.submit(make_pairs, *arguments)
                yield pairs

    def train_step(self, pairs: TrainingPairs) -> tuple[float, float]:
        """One optimizer step; the coarse and the fine loss."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate(self.options, self.step)
        coarse, fine = pair_losses(
            self.network, pairs, self.options.fine_matches, self.options.mixed_precision
        )
        self.optimizer.zero_grad(set_to_none=True)
        (coarse + self.options.fine_weight * fine).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return coarse.item(), fine.item()

    def report(self, losses: NDArray[np.float64]) -> None:
        """Validate on held-out photographs; append a row to the table and print it."""
        figures = self.validate()
        row = {
            'step': self.step,
            'pairs': self.pairs,
            'minutes': round(self.seconds / 60, 1),
            'learning_rate': round(learning_rate(self.options, self.step), 7),
            'coarse_loss': round(float(losses[0]), 4),
            'fine_loss': round(float(losses[1]), 4),
            **{name: round(value, 4) for name, value in figures.items()},
        }
        table = self.options.output / 'progress.csv'
        new = not table.exists()
        with table.open('a', newline='') as stream:
            writer = csv.DictWriter(stream, row.keys())
            if new:
                writer.writeheader()
            writer.writerow(row)
        print('  '.join(f'{name} {value}' for name, value in row.items()), flush=True)

    def validate(self) -> dict[str, float]:
        """Precision, recall and pixel error on fixed pairs of held-out photographs."""
        found = right = true = 0
        errors: list[Tensor] = []
        for matches, pairs in self.held_out_matches():
            error = match_residuals(matches, pairs).norm(dim=1)
            found += len(error)
            right += int((error < 4).sum())
            true += len(pairs.labels.batch)
            errors.append(error[error < CORRECT_PX])
        error = torch.cat(errors)
        return {
            'precision_4px': right / max(found, 1),
            'recall': right / max(true, 1),
            'median_px': float(error.median()) if len(error) else math.nan,
        }

    def sigma_ratio(self) -> float:
        """Standard deviation of held-out residuals in units of sigma; 1 where sigma is honest."""
        normalised = [torch.zeros(0, 2)]
        for matches, pairs in self.held_out_matches():
            residuals = match_residuals(matches, pairs)
            correct = residuals.norm(dim=1) < CORRECT_PX
            normalised.append((residuals / matches.sigma[:, None])[correct].cpu())
        values = torch.cat(normalised)
        return float(values.square().mean().sqrt()) if len(values) else 1.0

    def held_out_matches(self, batches: int = 4) -> Iterator[tuple[NetworkMatches, TrainingPairs]]:
        """Matches on always the same pairs of photographs that are not trained on."""
        self.network.eval()
        sampler = self.sampler(self.validation_bank, 12345)
        size = (self.options.height, self.options.width)
        for _ in range(batches):
            pairs = make_pairs(sampler, self.validation_bank, self.config, 8, size)
            with torch.no_grad():
                yield self.network(pairs.images0, pairs.images1), pairs


def match_residuals(matches: NetworkMatches, pairs: TrainingPairs) -> Tensor:
    """Found points minus their true places (M, 2), px; inf where the true place is not seen."""
    batch, geometry = matches.coarse.batch, pairs.geometry
    truth, seen = transfer(
        geometry.scene.select(batch),
        geometry.camera0.select(batch),
        geometry.camera1.select(batch),
        matches.points0[:, None],
    )
    residuals = matches.points1 - truth[:, 0]
    return torch.where(seen, residuals, torch.full_like(residuals, math.inf))


def learning_rate(options: TrainOptions, step: int) -> float:
    """Warm-up, constant, cosine decay over the last ``decay_steps``."""
    warm = min(1.0, (step + 1) / options.warmup_steps)
    left = (options.steps - step) / max(options.decay_steps, 1)
    decay = 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(left, 0.0)))
    return options.learning_rate * warm * max(decay, 0.01)


def pair_losses(
    network: LoFTR, pairs: TrainingPairs, fine_matches: int, mixed_precision: bool
) -> tuple[Tensor, Tensor]:
    """Coarse and fine loss of a batch."""
    config, batch = network.config, len(pairs.images0)
    images = torch.cat([pairs.images0, pairs.images1])
    with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed_precision):
        row, column = torch.randint(0, 25, (2,)).tolist()
        maps = network.encode(images, origin=(row, column))
        maps0 = FeatureMaps(maps.coarse[:batch], maps.fine[:batch])
        maps1 = FeatureMaps(maps.coarse[batch:], maps.fine[batch:])
        coarse0, coarse1 = network.transform(maps0, maps1)
        labels = sample_labels(pairs.labels, batch * fine_matches)
        matches = CoarseMatches(labels.batch, labels.cells0, labels.cells1, labels.offset[:, 0])
        windows0, windows1 = network.fine_windows(coarse0, coarse1, maps0, maps1, matches)
        if len(windows0):
            windows0, windows1 = network.loftr_fine(windows0, windows1)
    # The correlations decide: they stay in float32.
    predicted = expected_offset(windows0, windows1)
    unit = config.fine_window // 2 * config.resolution[1]
    scores = network.scores(coarse0, coarse1, maps0, maps1)
    return coarse_loss(scores, pairs.labels), fine_loss(predicted, labels.offset / unit)


def sample_labels(labels: Labels, count: int) -> Labels:
    """At most ``count`` random matches."""
    if len(labels.batch) <= count:
        return labels
    chosen = torch.randperm(len(labels.batch), device=labels.batch.device)[:count]
    return Labels(
        labels.batch[chosen], labels.cells0[chosen], labels.cells1[chosen], labels.offset[chosen]
    )

"""The training loop: resumable, on any device, with a table of its progress."""

from __future__ import annotations

import dataclasses
import math
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from loftr_ros.console import new_console
from loftr_ros.matching.coarse_matching import CoarseMatches, similarity
from loftr_ros.matching.config import LITE, LoFTRConfig
from loftr_ros.matching.fine_matching import expected_offset
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.weights import load_weights, save_weights, training_pairs
from loftr_ros.training.configuration import write_options
from loftr_ros.training.losses import coarse_loss, fine_loss
from loftr_ros.training.pairs import Labels
from loftr_ros.training.progress import ProgressLog
from loftr_ros.training.sources import CALIBRATION_SEED, TrainingData
from loftr_ros.training.validation import fit_confidence, fit_sigma, match_held_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.training.options import TrainOptions
    from loftr_ros.training.pairs import PairSource, TrainingPairs
    from loftr_ros.training.reconstructions import Reconstruction
    from loftr_ros.training.sequences import PosedFrame
    from loftr_ros.training.validation import PoseMeasure

Tensors: TypeAlias = 'tuple[Tensor, ...] | list[Tensor]'

LOWEST_CONFIDENCE = 0.01
"""Confidence is calibrated from here on, so that it holds for every threshold of a user."""


class Trainer:
    """Network, optimizer and pair source; ``run`` goes on where a checkpoint stopped."""

    def __init__(
        self,
        options: TrainOptions,
        config: LoFTRConfig = LITE,
        *,
        sequences: Sequence[Sequence[PosedFrame]] = (),
        reconstructions: Sequence[Reconstruction] = (),
        pose_measure: PoseMeasure | None = None,
    ) -> None:
        """Load the data and the state to start from.

        Args:
            options: Of the run.
            config: Of a network that starts from random weights.
            sequences: Frames of ``options.sequences``.
            reconstructions: Models of ``options.reconstructions``.
            pose_measure: Adds its figures of held-out pairs to the table; None adds none.

        Raises:
            ValueError: Photographs, frames, weights or a checkpoint cannot be used; says which.
        """
        self.options = options
        self.device = _device(options.device)
        self.pose_measure = pose_measure
        self.step = 0
        self.pairs = 0
        self.seconds = 0.0
        self.console = new_console()
        self.checkpoint = options.output / 'checkpoint.pt'
        torch.manual_seed(options.seed)
        network, state = self._start(config)
        self.config = network.config
        network = network.to(self.device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=options.learning_rate, weight_decay=1e-3
        )
        # Its batch norms have averaged statistics, too.
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=moving_average(options.average_decay),
            use_buffers=True,
        )
        if state is not None:
            if 'average' in state:
                self.average.load_state_dict(state['average'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.step, self.pairs = state['step'], state['pairs']
            self.seconds = state['seconds']
        self.data = TrainingData(options, self.config, sequences, reconstructions)
        options.output.mkdir(parents=True, exist_ok=True)
        self.log = ProgressLog(options.output, tensorboard=options.tensorboard)
        write_options(options, options.output / 'options.yaml')

    def _start(self, config: LoFTRConfig) -> tuple[LoFTR, dict[str, Any] | None]:
        """Network and checkpoint: of the output, of ``resume``, of ``init``, or random weights."""
        file = self.checkpoint if self.checkpoint.exists() else self.options.resume
        if file is not None:
            state = read_checkpoint(file)
            network = LoFTR(LoFTRConfig.from_dict(state['config']))
            network.load_state_dict(state['network'])
            return network, state
        if self.options.init is None:
            return LoFTR(config), None
        loaded = load_weights(self.options.init).network
        if not isinstance(loaded, LoFTR):
            # It is the value of an option that is wrong.
            raise ValueError(  # noqa: TRY004
                f'{self.options.init}: only weights of LoFTR can be trained further'
            )
        self.pairs = training_pairs(self.options.init) or 0
        # What the weights claim about themselves is measured anew when they are written.
        plain = dataclasses.replace(
            loaded.config,
            sigma_scale=1.0,
            sigma_exponent=1.0,
            alignment_scale=1.0,
            alignment_exponent=1.0,
            confidence_knots=(),
        )
        network = LoFTR(plain)
        network.load_state_dict(loaded.state_dict())
        return network, None

    def save(self) -> None:
        """Write the state so that a crash in between leaves the old one."""
        state = {
            'network': self.network.state_dict(),
            'average': self.average.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'step': self.step,
            'pairs': self.pairs,
            'seconds': self.seconds,
            'config': self.config.to_dict(),
        }
        files = [self.checkpoint]
        if self.options.keep_every and self.step % self.options.keep_every == 0:
            files.append(self.checkpoint.with_name(f'checkpoint_{self.step:08d}.pt'))
        for file in files:
            partial = file.with_suffix('.partial')
            torch.save(state, partial)
            partial.replace(file)

    def export(self) -> Path:
        """Write the weights as the matcher loads them, calibrated on held-out pairs.

        Sigma becomes the standard deviation of the residuals, and confidence the share of matches
        within 3 px of the truth.
        """
        source = self.data.held_out(CALIBRATION_SEED)
        found = match_held_out(
            self.averaged, source, 2 * self.options.validation_pairs, LOWEST_CONFIDENCE
        ).samples
        usual = found.select(found.confidence > self.config.confidence_threshold)
        scale, exponent = fit_sigma(usual.select(~usual.aligned))
        alignment_scale, alignment_exponent = fit_sigma(usual.select(usual.aligned))
        config = dataclasses.replace(
            self.config,
            sigma_scale=scale,
            sigma_exponent=exponent,
            alignment_scale=alignment_scale,
            alignment_exponent=alignment_exponent,
            confidence_knots=fit_confidence(found),
        )
        calibrated = LoFTR(config)
        calibrated.load_state_dict(self.averaged.state_dict())
        path = self.options.output / 'weights.safetensors'
        save_weights(calibrated, path, {'training_pairs': str(self.pairs)})
        return path

    def run(self) -> None:
        """Train up to ``steps`` or ``minutes``, whichever comes first."""
        options = self.options
        if self.step >= options.steps:
            return
        # The step is part of the seed: a resumed piece draws new pairs, reproducibly.
        source = self.data.training(options.seed * 1_000_003 + self.step)
        self.data.held_out_reconstructions()  # what it skips is known before hours of steps
        for reason in self.data.skipped:
            self.console.print(f'skipped: {reason}', soft_wrap=True, highlight=False)
        limit = self.seconds + 60 * options.minutes if options.minutes else math.inf
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
        hidden = not self.console.is_terminal
        with Progress(*columns, console=self.console, disable=hidden) as progress:
            task = progress.add_task('training', total=options.steps, completed=self.step)
            for _ in self._steps(source, limit):
                progress.update(task, completed=self.step)

    def _steps(self, source: PairSource, limit: float) -> Iterator[None]:
        """Steps up to the end or a limit of `seconds`, with a report every now and then."""
        started = time.monotonic() - self.seconds
        since, losses = time.monotonic(), []
        for pairs in self.stream(source):
            losses.append(self.train_step(pairs))
            self.step += 1
            self.pairs += len(pairs.images0)
            self.seconds = time.monotonic() - started
            done = self.step >= self.options.steps or self.seconds > limit
            if done or self.step % self.options.every == 0:
                speed = len(losses) * self.options.batch / (time.monotonic() - since)
                self.report(_means(losses), speed)
                self.save()
                since, losses = time.monotonic(), []
            yield
            if done:
                return

    def stream(self, source: PairSource) -> Iterator[TrainingPairs]:
        """Batches without end, each made while the one before is trained on."""
        with ThreadPoolExecutor(1) as pool:
            following = pool.submit(source.draw, self.options.batch)
            while True:
                pairs = following.result()
                following = pool.submit(source.draw, self.options.batch)
                yield pairs

    def train_step(self, pairs: TrainingPairs) -> tuple[float, float]:
        """One optimizer step; the coarse and the fine loss."""
        self.network.train()
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate(self.options, self.step)
        refined = self.step % self.options.fine_every == 0
        coarse, fine = pair_losses(
            self.network,
            pairs,
            self.options.fine_matches if refined else 0,
            self.options.mixed_precision,
            self.options.loss_power,
        )
        self.optimizer.zero_grad(set_to_none=True)
        (coarse + self.options.fine_weight * fine).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        return coarse.item(), fine.item() if refined else math.nan

    def report(self, losses: NDArray[np.float64], pairs_per_second: float) -> None:
        """Validate on held-out pairs; add a row to the table and print it."""
        figures = self.validate()
        row = {
            'step': self.step,
            'pairs': self.pairs,
            'minutes': round(self.seconds / 60, 1),
            'learning_rate': round(learning_rate(self.options, self.step), 7),
            'coarse_loss': round(float(losses[0]), 4),
            'fine_loss': round(float(losses[1]), 4),
            **{name: round(value, 4) for name, value in figures.items()},
            'pairs_per_second': round(pairs_per_second, 1),
        }
        self.log.append(row)
        text = '  '.join(f'{name} {value}' for name, value in row.items())
        self.console.print(text, soft_wrap=True, highlight=False)

    @property
    def averaged(self) -> LoFTR:
        """The network with the moving average of the weights."""
        network = self.average.module
        assert isinstance(network, LoFTR)
        return network

    def validate(self) -> dict[str, float]:
        """Figures of always the same held-out pairs; of real scenes they begin with ``real_``."""
        figures = self._figures(self.data.held_out())
        real = self.data.held_out_reconstructions()
        if real is not None:
            of_scenes = self._figures(real)
            figures |= {f'real_{name}': value for name, value in of_scenes.items()}
        return figures

    def _figures(self, source: PairSource) -> dict[str, float]:
        found = match_held_out(self.averaged, source, self.options.validation_pairs)
        poses = {} if self.pose_measure is None else self.pose_measure(found.posed)
        return {**found.figures(), **poses}


def read_checkpoint(file: Path) -> dict[str, Any]:
    """State of a training run.

    Raises:
        ValueError: There is no such file, or it is no checkpoint of this room.
    """
    try:
        state: Any = torch.load(file, map_location='cpu', weights_only=True)
    except OSError as error:
        raise ValueError(f'{file}: the checkpoint cannot be read ({error.strerror})') from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{file}: not a checkpoint ({reason})') from error
    keys = {'network', 'optimizer', 'step', 'pairs', 'seconds', 'config'}
    if not isinstance(state, dict) or not keys <= set(state):
        raise ValueError(f'{file}: not a checkpoint of a training; weights go to --init')
    return state


def learning_rate(options: TrainOptions, step: int) -> float:
    """Warm-up, constant, cosine decay over the last ``decay_steps``."""
    warm = min(1.0, (step + 1) / options.warmup_steps)
    left = (options.steps - step) / max(options.decay_steps, 1)
    decay = 0.5 - 0.5 * math.cos(math.pi * min(1.0, max(left, 0.0)))
    return options.learning_rate * warm * max(decay, 0.01)


def pair_losses(
    network: LoFTR,
    pairs: TrainingPairs,
    fine_matches: int,
    mixed_precision: bool,
    power: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Coarse and fine loss of a batch; the fine one is zero without matches."""
    config, batch = network.config, len(pairs.images0)
    images = torch.cat([pairs.images0, pairs.images1])
    with torch.autocast(images.device.type, torch.bfloat16, enabled=mixed_precision):
        row, column = torch.randint(0, 25, (2,)).tolist()
        maps0, maps1 = network.encode(images, origin=(row, column)).halves()
        coarse0, coarse1 = network.transform(maps0, maps1)
        if not fine_matches:
            scores = similarity(coarse0, coarse1, config.temperature)
            return coarse_loss(scores, pairs.labels, power), scores.new_zeros(())
        labels = sample_labels(pairs.labels, batch * fine_matches)
        matches = CoarseMatches(labels.batch, labels.cells0, labels.cells1, labels.offset[:, 0])
        windows0, windows1 = network.fine_windows(coarse0, coarse1, maps0, maps1, matches)
        if len(windows0):
            windows0, windows1 = network.loftr_fine(windows0, windows1)
    # The correlations decide: they stay in float32.
    predicted = expected_offset(windows0, windows1)
    unit = config.fine_window // 2 * config.resolution[1]
    scores = similarity(coarse0, coarse1, config.temperature)
    return coarse_loss(scores, pairs.labels, power), fine_loss(predicted, labels.offset / unit)


def moving_average(
    decay: float,
) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Exponential average for `AveragedModel`, of fewer steps at first: the start is forgotten."""

    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (10 + int(count)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.detach().to(mean.dtype), 1 - now)
            else:
                mean.copy_(value)

    return update


def _means(losses: list[tuple[float, float]]) -> NDArray[np.float64]:
    """Means of the losses (2,) over the steps that had them; NaN without one."""
    columns = np.array(losses, np.float64).T
    return np.array([np.mean(some) if len(some := c[~np.isnan(c)]) else np.nan for c in columns])


def sample_labels(labels: Labels, count: int) -> Labels:
    """At most ``count`` random matches."""
    if len(labels.batch) <= count:
        return labels
    chosen = torch.randperm(len(labels.batch), device=labels.batch.device)[:count]
    return Labels(
        labels.batch[chosen], labels.cells0[chosen], labels.cells1[chosen], labels.offset[chosen]
    )


def _device(name: str) -> torch.device:
    """Training device.

    Raises:
        ValueError: There is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device {name!r}: expected cpu, cuda or cuda:N') from error
    if device.type == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device {name!r}: no CUDA device is available here; use cpu')
    return device

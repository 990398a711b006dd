"""What the networks of a population say over the plane while they learn: a listener of the training loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from pipeline.artifacts import Bytes, Snapshots, Split
from pipeline.planes import MOST_CODED, encode, grid, grid_points, is_plane
from pipeline.training.networks import predict_logits, probabilities
from pipeline.training.population import Population
from pipeline.training.reference import logits

POINTS = 64  # of the grid, along each axis
Frames = dict[int, dict[int, Bytes]]  # seed → epoch → codes, epochs ascending
BLOCK = 512  # grid points that go through at once: what they need of memory stays below what a training step needs


def is_recorded(epoch: int) -> bool:
    """Whether networks are recorded after so many epochs: ten times in each factor of ten, whatever a run's length.

    So networks that are trained for different times are seen after the same epochs: 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, …
    """
    return epoch == round(10 ** (round(10 * math.log10(epoch)) / 10))


def is_recordable(split: Split) -> bool:
    """Whether there is a plane to evaluate networks on, and few enough classes for a byte."""
    return is_plane(split) and len(split.dataset.class_names) <= MOST_CODED


@final
class Recorder:
    """Evaluates a population on a grid now and then; give it to `train_population` as `announce`.

    The grid spans training and monitored rows alone. Members are told apart by their seeds, and each is recorded after
    its last epoch too. Training doesn't notice: nothing of the population is changed, and no random number is drawn.
    """

    def __init__(self, split: Split) -> None:
        rows = np.concatenate([split.train, split.rows(split.monitored)])
        self._task = split.dataset.task
        self._x, self._y = grid(split.dataset.features[rows], POINTS)
        self._scaled = split.scale_features(grid_points(self._x, self._y))
        self._frames: Frames = {}

    def __call__(self, population: Population) -> None:
        """Record those that are in training, when it is time; and those that have just ended."""
        epoch = population.epoch
        if population.active and is_recorded(epoch):
            codes = encode(self._stack_probabilities(population).movedim(1, -1).numpy())
            for index, frame in zip(population.active, codes, strict=True):
                self._keep(population.members[index].seed, epoch, frame)
        for index, last in population.ended.items():
            if last == epoch and index not in population.failures:
                ended = predict_logits(population.networks[index], self._scaled)
                self._keep(population.members[index].seed, epoch, encode(probabilities(ended, self._task)))

    def frames(self, seeds: Sequence[int]) -> Frames:
        """Return what was recorded so far of some members, for a checkpoint."""
        return {seed: self._frames[seed] for seed in seeds if seed in self._frames}

    def restore(self, frames: Frames) -> None:
        """Take over what was recorded before training stopped."""
        self._frames |= frames

    def snapshots(self, seed: int) -> Snapshots:
        """Return what was recorded of the member with a seed."""
        frames = self._frames[seed]
        return Snapshots(np.array(list(frames)), self._x, self._y, np.stack(list(frames.values())))

    def _keep(self, seed: int, epoch: int, codes: Bytes) -> None:
        self._frames.setdefault(seed, {})[epoch] = codes.reshape(len(self._y), len(self._x))

    def _stack_probabilities(self, population: Population) -> Tensor:
        """Class probabilities of the members in training, (p, classes, n)."""
        features_1fn = torch.from_numpy(self._scaled).T[None].to(population.stack.flat)
        with torch.inference_mode():
            blocks = [logits(population.stack, block) for block in torch.split(features_1fn, BLOCK, dim=2)]
            # Members that have diverged may be in the stack still.
            logits_pon = torch.cat(blocks, dim=2).nan_to_num_().cpu()
            if self._task == "multiclass":
                return torch.softmax(logits_pon, dim=1)
            positive = torch.sigmoid(logits_pon)
            return torch.cat([1 - positive, positive], dim=1)

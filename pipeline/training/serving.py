"""A network that takes raw features and gives probabilities and a label: from table to answer in one graph."""

from __future__ import annotations

from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from pipeline.artifacts import Network, Split, Task
from pipeline.training.networks import build_module


@final
class ServableModel(nn.Module):
    """Features (rows, features) in original units to probabilities and label (rows, classes + 1), in double precision.

    The last column is the index of the predicted class: 1 where the probability of class 1 is above the threshold, of
    more than two classes the likeliest, as `pipeline.labels.predicted_labels` has it. A regression gives its
    prediction, (rows, 1), in original units. Scaling happens in double precision and the network runs in single,
    exactly as in training, so that served numbers equal those of the ledger.
    """

    center: Tensor
    scale: Tensor
    threshold: Tensor

    def __init__(self, network: Network, split: Split, threshold: float) -> None:
        super().__init__()
        self.register_buffer("center", torch.from_numpy(split.center.copy()))
        self.register_buffer("scale", torch.from_numpy(split.scale.copy()))
        self.register_buffer("threshold", torch.tensor(threshold, dtype=torch.float64))
        self.network = build_module(network)
        self.task: Task = split.dataset.task
        self.target_center = split.target_center
        self.target_scale = split.target_scale
        self.eval()

    def forward(self, features: Tensor) -> Tensor:
        """Scale, apply the network, then sigmoid or softmax, then label."""
        logits = self.network(((features - self.center) / self.scale).float()).double()
        if self.task == "multiclass":
            shares = torch.softmax(logits, dim=1)
            return torch.cat([shares, shares.argmax(dim=1, keepdim=True).double()], dim=1)
        if self.task == "binary":
            positive = torch.sigmoid(logits)
            return torch.cat([1 - positive, positive, (positive > self.threshold).double()], dim=1)
        prediction: Tensor = logits * self.target_scale + self.target_center
        return prediction


def export(network: Network, split: Split, threshold: float, file: Path) -> None:
    """Write a network with scaling and label as a graph that takes any number of rows (inputs, double precision)."""
    example = torch.zeros((2, len(split.center)), dtype=torch.float64)
    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(ServableModel(network, split, threshold), (example,), dynamic_shapes=(rows,))
    torch.export.save(program, file)

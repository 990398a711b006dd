"""Other ways to train the same network: 2-10-10-1 with ReLU on circles, 800 training and 200 validation rows.

Each function trains for some epochs, with loss and accuracy on both parts every epoch, and returns the seconds that one
network takes for 1000 epochs. The last training loss is checked where a peer trains the very same network.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_circles
from sklearn.model_selection import train_test_split
from torch import nn

UNITS, LR, SEED = (10, 10), 0.1, 42


def circles() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and validation features and labels, as the tutorials part them."""
    features, labels = make_circles(1000, noise=0.03, random_state=42)
    parts = train_test_split(features.astype(np.float32), labels, test_size=0.2, random_state=42)
    return parts[0], parts[2], parts[1], parts[3]


def network() -> nn.Sequential:
    """The tutorial's network under its seed."""
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1))


def per_thousand(epochs: int, networks: int, work: Callable[[], object]) -> float:
    """Seconds that one network takes for 1000 epochs."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) / epochs / networks * 1000


def tutorial(epochs: int, log: Callable[[int, dict[str, float]], None] | None = None) -> float:
    """The loop that tutorials print, metrics by `.item()`."""
    x, y, x_validation, y_validation = (torch.from_numpy(part) for part in circles())
    y, y_validation = y.float(), y_validation.float()
    model, loss_function = network(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def accuracy(logits: torch.Tensor, labels: torch.Tensor) -> float:
        return (torch.round(torch.sigmoid(logits)) == labels).sum().item() / len(labels)

    def work() -> None:
        for epoch in range(epochs):
            model.train()
            logits = model(x).squeeze()
            loss = loss_function(logits, y)
            right = accuracy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.eval()
            with torch.inference_mode():
                validation_logits = model(x_validation).squeeze()
                validation_loss = loss_function(validation_logits, y_validation)
                validation_right = accuracy(validation_logits, y_validation)
            if log is not None:
                log(
                    epoch,
                    {
                        "train/loss": loss.item(),
                        "train/accuracy": right,
                        "validation/loss": validation_loss.item(),
                        "validation/accuracy": validation_right,
                    },
                )

    return per_thousand(epochs, 1, work)


def sequential_fused(epochs: int) -> float:
    """`nn.Sequential` with the optimizer's fused path, values left as tensors."""
    x, y, x_validation, y_validation = (torch.from_numpy(part) for part in circles())
    y, y_validation = y.float(), y_validation.float()
    model, loss_function = network(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, fused=True)

    def work() -> None:
        kept = []
        for _ in range(epochs):
            logits = model(x)[:, 0]
            loss = loss_function(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.inference_mode():
                validation = model(x_validation)[:, 0]
                kept.append(
                    (
                        loss.detach(),
                        ((logits > 0) == y).float().mean(),
                        loss_function(validation, y_validation),
                        ((validation > 0) == y_validation).float().mean(),
                    )
                )

    return per_thousand(epochs, 1, work)


def sklearn_mlp(epochs: int) -> float:
    """`MLPClassifier`, full batch; it gives the training loss alone."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x, y, _, _ = circles()
    model = MLPClassifier(
        UNITS,
        solver="sgd",
        momentum=0,
        alpha=0,
        learning_rate_init=LR,
        batch_size=len(x),
        max_iter=epochs,
        tol=0,
        n_iter_no_change=epochs,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return per_thousand(epochs, 1, lambda: model.fit(x, y))


def compiled_reference(epochs: int, networks: int = 32) -> float:
    """Photofinish's autograd reference under `torch.compile`; compiling is not counted."""
    from pipeline.training.losses import count_right, mean_loss
    from pipeline.training.networks import initial_stack

    if shutil.which("c++") is None:
        raise RuntimeError("no C++ compiler")
    x, y, x_validation, y_validation = circles()
    parts = [
        (
            torch.from_numpy(features).T.contiguous()[None],
            torch.from_numpy(labels).float()[None],
            torch.full((len(labels),), 1 / len(labels)),
        )
        for features, labels in ((x, y), (x_validation, y_validation))
    ]
    stack = initial_stack("relu", range(networks), [UNITS] * networks, 2, 1)
    layers = list(zip(stack.weights_poi, stack.biases_po1, strict=True))
    parameters = [tensor.clone().requires_grad_() for layer in layers for tensor in layer]

    def forward(values: torch.Tensor) -> torch.Tensor:
        values = values.expand(networks, -1, -1)
        for layer in range(0, len(parameters), 2):
            values = torch.baddbmm(parameters[layer + 1], parameters[layer], values)
            values = torch.relu(values) if layer + 2 < len(parameters) else values
        return values

    def measure(part: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        logits = forward(part[0])
        return mean_loss("bce_with_logits", logits, *part[1:]), count_right("bce_with_logits", logits, *part[1:])

    compiled = torch.compile(measure)

    def work(epochs: int = epochs) -> None:
        for _ in range(epochs):
            loss, _ = compiled(parts[0])
            gradients = torch.autograd.grad(loss.sum(), parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-LR)
                compiled(parts[1])

    work(3)
    return per_thousand(epochs, networks, work)


def skorch_net(epochs: int) -> float:
    """`skorch.NeuralNetBinaryClassifier` with its validation split and accuracy on both parts."""
    from skorch import NeuralNetBinaryClassifier
    from skorch.callbacks import EpochScoring
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x, y, x_validation, y_validation = circles()
    model = NeuralNetBinaryClassifier(
        network(),
        optimizer=torch.optim.SGD,
        lr=LR,
        max_epochs=epochs,
        batch_size=-1,
        verbose=0,
        train_split=predefined_split(Dataset(x_validation, y_validation.astype(np.float32))),
        callbacks=[EpochScoring("accuracy", name="train_accuracy", on_train=True, lower_is_better=False)],
    )
    return per_thousand(epochs, 1, lambda: model.fit(x, y.astype(np.float32)))


def lightning_trainer(epochs: int, logger: object = False) -> float:
    """Lightning's Trainer, one batch an epoch, `self.log` for the four values."""
    import logging

    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parts = [torch.from_numpy(part) for part in circles()]

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def _step(self, batch: list[torch.Tensor], part: str) -> torch.Tensor:
            logits = self.model(batch[0])[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, batch[1].float())
            right = ((logits > 0) == batch[1]).float().mean()
            self.log_dict({f"{part}/loss": loss, f"{part}/accuracy": right}, on_step=False, on_epoch=True)
            return loss

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            return self._step(batch, "train")

        def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
            self._step(batch, "validation")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=LR)

    loaders = [
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*pair), batch_size=1000)
        for pair in (parts[:2], parts[2:])
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=logger,
            enable_checkpointing=False,
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        return per_thousand(epochs, 1, lambda: trainer.fit(Module(), *loaders))


def jax_scan(epochs: int, networks: int = 32) -> float:
    """JAX: `jit` of a `scan` over epochs, `vmap` over networks; compiling is not counted."""
    import jax
    import jax.numpy as jnp

    x, y, x_validation, y_validation = (jnp.asarray(part) for part in circles())

    def forward(parameters: list, features: jax.Array) -> jax.Array:
        for weights, bias in parameters[:-1]:
            features = jax.nn.relu(features @ weights + bias)
        return (features @ parameters[-1][0] + parameters[-1][1])[:, 0]

    def loss(parameters: list, features: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = forward(parameters, features)
        value = jnp.mean(jax.nn.softplus(logits) - labels * logits)
        return value, jnp.mean((logits > 0) == labels)

    def epoch(parameters: list, _: None) -> tuple[list, tuple]:
        measured, gradient = jax.value_and_grad(loss, has_aux=True)(parameters, x, y)
        parameters = jax.tree.map(lambda p, g: p - LR * g, parameters, gradient)
        return parameters, (*measured, *loss(parameters, x_validation, y_validation))

    def start(key: jax.Array) -> list:
        sizes = (2, 10, 10, 1)
        keys = jax.random.split(key, 3)
        return [
            (jax.random.normal(k, (i, o)) / i**0.5, jnp.zeros(o))
            for k, i, o in zip(keys, sizes, sizes[1:], strict=False)
        ]

    train = jax.jit(jax.vmap(lambda parameters: jax.lax.scan(epoch, parameters, None, length=epochs)))
    population = jax.vmap(start)(jax.random.split(jax.random.key(0), networks))
    jax.block_until_ready(train(population))
    return per_thousand(epochs, networks, lambda: jax.block_until_ready(train(population)))


def c_kernel(epochs: int) -> float:
    """`kernel.c`, compiled for this very processor."""
    if shutil.which("cc") is None:
        raise RuntimeError("no C compiler")
    x, y, x_validation, y_validation = circles()
    features, labels = np.concatenate([x, x_validation]), np.concatenate([y, y_validation]).astype(np.float32)
    blocks = np.ascontiguousarray(features.reshape(10, 100, 2).transpose(0, 2, 1), dtype=np.float32)
    flat = torch.cat([parameter.detach().flatten() for parameter in network().parameters()]).numpy().copy()
    curves = np.zeros((epochs, 4), dtype=np.float32)

    def pointer(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "kernel.so"
        source = Path(__file__).with_name("kernel.c")
        command = [
            "cc",
            "-O3",
            "-march=native",
            "-ffast-math",
            "-shared",
            "-fPIC",
            str(source),
            "-o",
            str(library),
            "-lm",
        ]
        subprocess.run(command, check=True)
        train = ctypes.CDLL(str(library)).train
        train.argtypes = [*[ctypes.c_void_p] * 3, *[ctypes.c_int] * 3, ctypes.c_float, ctypes.c_void_p]
        seconds = per_thousand(
            epochs,
            1,
            lambda: train(pointer(flat), pointer(blocks), pointer(labels), 8, 10, epochs, LR, pointer(curves)),
        )
    if abs(curves[0, 0] - 0.69295) > 1e-4:
        raise RuntimeError(f"the kernel is wrong: its first loss is {curves[0, 0]}")
    return seconds

"""Training speed beside peers, in one process: `python benchmarks/training.py`, `--members`, `--rows` or `--width`.

Prints a Markdown table; best of several repetitions, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import peers
import torch

from pipeline.execution import map_tasks
from pipeline.training.population import Member, Population, Rows, Shape, finish_population, train_population

SHAPE = Shape("relu", "bce_with_logits", "SGD", 1)


def circle_rows() -> tuple[Rows, Rows]:
    """Training and validation rows of the peers' circles."""
    x, y, x_validation, y_validation = peers.circles()
    return Rows(x, y), Rows(x_validation, y_validation)


def random_rows(rows: int, features: int = 2) -> tuple[Rows, Rows]:
    """As many rows as asked, and a quarter of that to watch."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows + rows // 4, features)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    return Rows(x[:rows], y[:rows]), Rows(x[rows:], y[rows:])


def photofinish(epochs: int, networks: int, device: str = "cpu") -> float:
    """Seconds a network for 1000 epochs, all of them in one process."""
    members = [Member(peers.SEED + index, peers.UNITS, peers.LR, epochs) for index in range(networks)]
    shape = replace(SHAPE, device=device)
    return peers.per_thousand(epochs, networks, lambda: train_population(shape, members, *circle_rows()))


def _worker(epochs: int, first: int) -> int:
    members = [Member(first + index, peers.UNITS, peers.LR, epochs) for index in range(32)]
    return len(train_population(SHAPE, members, *circle_rows()))


def photofinish_workers(epochs: int, workers: int) -> float:
    """Seconds a network for 1000 epochs, 32 networks in each of several worker processes that are started already."""
    list(map_tasks(partial(_worker, 2), range(workers), workers))
    work = lambda: list(map_tasks(partial(_worker, epochs), range(workers), workers))  # noqa: E731
    return peers.per_thousand(epochs, 32 * workers, work)


def best(measure: Callable[[], float], repetitions: int) -> float | None:
    """Return the shortest time; None where a peer isn't installed."""
    try:
        return min(measure() for _ in range(repetitions))
    except (ImportError, RuntimeError) as error:
        print(f"<!-- left out: {error} -->")
        return None


def compare(repetitions: int) -> None:
    """Print every peer beside Photofinish."""
    measured = {
        "the tutorial's loop": best(lambda: peers.tutorial(400), repetitions),
        "nn.Sequential, fused optimizer": best(lambda: peers.sequential_fused(400), repetitions),
        "scikit-learn MLPClassifier (training loss alone)": best(lambda: peers.sklearn_mlp(200), repetitions),
        "skorch": best(lambda: peers.skorch_net(100), repetitions),
        "Lightning": best(lambda: peers.lightning_trainer(50), repetitions),
        "JAX jit + vmap + scan, 32 networks": best(lambda: peers.jax_scan(200), repetitions),
        "our autograd reference under torch.compile, 32 networks": best(lambda: peers.compiled_reference(200), 1),
        "**Photofinish, 1 network**": best(lambda: photofinish(400, 1), repetitions),
        "**Photofinish, 10 networks**": best(lambda: photofinish(400, 10), repetitions),
        "**Photofinish, 32 networks**": best(lambda: photofinish(400, 32), repetitions),
        "**Photofinish, 2 workers × 32 networks**": best(lambda: photofinish_workers(1000, 2), repetitions),
        "hand-written C kernel": best(lambda: peers.c_kernel(1000), repetitions),
    }
    if torch.cuda.is_available():
        for count in (1, 32, 1000):
            cuda = partial(photofinish, 400, count, "cuda")
            measured[f"**Photofinish, {count} networks, CUDA**"] = best(cuda, repetitions)
    tutorial, kernel = measured["the tutorial's loop"], measured["hand-written C kernel"]
    print("| how | seconds a network, 1000 epochs | tutorial's time over it | it over the kernel's time |")
    print("| --- | --- | --- | --- |")
    for name, seconds in measured.items():
        if seconds is not None:
            over = f"{seconds / kernel:.1f}" if kernel else "–"
            print(f"| {name} | {seconds:.4f} | {tutorial / seconds:.1f} | {over} |")


def scale(values: list[int], measure: Callable[[int], float], unit: str) -> None:
    """Print how seconds a network and 1000 epochs change along one dimension, and peak memory so far."""
    print(f"| {unit} | seconds a network, 1000 epochs | peak memory, MiB |\n| --- | --- | --- |")
    for value in values:
        seconds = min(measure(value) for _ in range(3))
        print(f"| {value:,} | {seconds:.4f} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} |")


def by_rows(rows: int) -> float:
    """Ten networks, full batch."""
    parts, epochs = random_rows(rows), max(2, 200_000 // rows)
    members = [Member(seed, peers.UNITS, peers.LR, epochs) for seed in range(10)]
    return peers.per_thousand(epochs, 10, lambda: train_population(SHAPE, members, *parts))


def by_width(width: int) -> float:
    """Ten networks of two hidden layers on the circles."""
    epochs = max(5, 2000 // width)
    members = [Member(seed, (width, width), peers.LR, epochs) for seed in range(10)]
    return peers.per_thousand(epochs, 10, lambda: train_population(SHAPE, members, *circle_rows()))


def by_stack() -> None:
    """Print what a network costs in stacks of other sizes than `STACK_BYTES` makes them."""
    sizes = (1, 4, 16, 32, 64, 128, 256)
    print(f"| width | {' | '.join(f'{size} in a stack' for size in sizes)} |\n| --- |{' --- |' * len(sizes)}")
    for width in (10, 32, 128):
        epochs = max(10, 1000 // width)
        measured = [min(one_stack(width, size, epochs) for _ in range(2)) for size in sizes]
        print(f"| {width} | {' | '.join(f'{seconds:.4f}' for seconds in measured)} |")


def one_stack(width: int, networks: int, epochs: int) -> float:
    """All networks in a single stack."""
    members = [Member(seed, (width, width), peers.LR, epochs) for seed in range(networks)]
    population = Population(SHAPE, members, *circle_rows())
    return peers.per_thousand(epochs, networks, lambda: finish_population(population))


def large() -> None:
    """Print jobs that are large in one way or another, with their memory."""
    print("| job | seconds | peak memory, MiB |\n| --- | --- | --- |")
    wide = Shape("relu", "bce_with_logits", "SGD", 1)
    batches = Shape("relu", "bce_with_logits", "Adam", 1)
    jobs = {
        "1,000 networks 2-10-10-1, 1000 epochs": lambda: photofinish(1000, 1000),
        "100,000 rows × 100 features, width 256, 1 network, 2 epochs": lambda: train_population(
            wide, [Member(0, (256,), 0.1, 2)], *random_rows(100_000, 100)
        ),
        "1,000,000 rows, batches of 4096, 4 networks, 1 epoch": lambda: train_population(
            batches, [Member(seed, peers.UNITS, 0.01, 1, batch_size=4096) for seed in range(4)], *random_rows(1_000_000)
        ),
    }
    for name, job in jobs.items():
        started = time.perf_counter()
        job()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {name} | {time.perf_counter() - started:.1f} | {peak:.0f} |")


def main() -> None:
    """Print the table that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    group = parser.add_mutually_exclusive_group()
    for name in ("members", "rows", "width", "stacks", "large"):
        group.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"<!-- {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, one thread a process -->")
    if options.members:
        scale([1, 4, 16, 32, 64, 256, 1000], lambda count: photofinish(max(50, 4000 // count), count), "members")
    elif options.rows:
        scale([1000, 10_000, 100_000, 1_000_000], by_rows, "training rows")
    elif options.width:
        scale([4, 8, 16, 32, 64, 128, 256, 512], by_width, "width")
    elif options.stacks:
        by_stack()
    elif options.large:
        large()
    else:
        compare(options.repetitions)


if __name__ == "__main__":
    main()

"""The population against the plain thing: each member must equal its own `nn.Sequential` loop."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from pipeline.errors import BadInput
from pipeline.training.batches import BatchOrder
from pipeline.training.networks import ACTIVATIONS
from pipeline.training.population import (
    EPOCHS_BETWEEN_CHECKS,
    MOST_ROWS,
    STACK_BYTES,
    Member,
    Outcome,
    Population,
    Rows,
    Shape,
    finish_population,
    free_memory,
    stacks,
    train_population,
)

LOSSES = {
    "bce_with_logits": nn.BCEWithLogitsLoss,
    "cross_entropy": nn.CrossEntropyLoss,
    "l1": nn.L1Loss,
    "mse": nn.MSELoss,
}


def make_rows(loss: str, n_rows: int, seed: int, n_classes: int = 3, *, weighted: bool = False) -> Rows:
    random = np.random.default_rng(seed)
    features = random.normal(size=(n_rows, 3)).astype(np.float32)
    score = features[:, 0] * features[:, 1] + features[:, 2]
    weights = random.uniform(0.1, 1.9, n_rows).astype(np.float32) if weighted else None
    if loss == "bce_with_logits":
        return Rows(features, (score > 0).astype(np.int64), weights)
    if loss == "cross_entropy":
        return Rows(features, np.digitize(score, [-0.5, 0.5]).astype(np.int64) % n_classes, weights)
    return Rows(features, score.astype(np.float32), weights)


def n_outputs(loss: str) -> int:
    return 3 if loss == "cross_entropy" else 1


def plain_loop(shape: Shape, member: Member, train: Rows, monitored: Rows) -> tuple[nn.Sequential, list[list[float]]]:
    """Train one member by the book: nn.Linear, torch.optim, DataLoader, one epoch after another."""
    dtype = torch.float64 if shape.double else torch.float32
    torch.manual_seed(member.seed)
    sizes = [train.features.shape[1], *member.hidden_units, shape.n_outputs]
    layers: list[nn.Module] = []
    for into, out in pairwise(sizes):
        layers += [nn.Linear(into, out), ACTIVATIONS[shape.activation].module()]
    network = nn.Sequential(*layers[:-1]).to(dtype)
    arguments = {"lr": member.lr, "weight_decay": member.weight_decay}
    if shape.optimizer == "SGD":
        arguments["momentum"] = member.momentum
    optimizer = getattr(torch.optim, shape.optimizer)(network.parameters(), **arguments)
    target_dtype = torch.int64 if shape.loss == "cross_entropy" else dtype
    train_set, monitored_set = (
        TensorDataset(
            torch.from_numpy(rows.features).to(dtype),
            torch.from_numpy(rows.target).to(target_dtype),
            *([] if rows.weights is None else [torch.from_numpy(rows.weights).to(dtype)]),
        )
        for rows in (train, monitored)
    )
    torch.manual_seed(member.seed)
    size = member.batch_size or len(train)
    loader = DataLoader(train_set, batch_size=size, shuffle=member.batch_size is not None)
    monitored_loader = DataLoader(monitored_set, batch_size=len(monitored))

    def loss_of(features: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        logits = network(features)
        outputs = logits if shape.loss == "cross_entropy" else logits[:, 0]
        if weights is None:
            return LOSSES[shape.loss]()(outputs, target)
        return (LOSSES[shape.loss](reduction="none")(outputs, target) * weights).mean()

    curves = []
    for _ in range(member.epochs):
        total = 0.0
        for rows in loader:
            loss = loss_of(*rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows[0])
        with torch.no_grad():
            after = [loss_of(*rows).item() for rows in monitored_loader]
        curves.append([total / len(train), after[0]])
    return network, curves


def assert_equals_plain(
    shape: Shape, member: Member, outcome: Outcome, train: Rows, monitored: Rows, tolerance: float
) -> None:
    network, curves = plain_loop(shape, member, train, monitored)
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    for weight, bias, linear in zip(outcome.network.weights, outcome.network.biases, linears, strict=True):
        # A network is handed on in single precision, so weights are compared to that; curves to the tolerance.
        np.testing.assert_allclose(weight, linear.weight.detach().numpy(), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(bias, linear.bias.detach().numpy(), rtol=1e-6, atol=1e-6)
    expected = np.array(curves)
    np.testing.assert_allclose(outcome.history.train_loss, expected[:, 0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(outcome.history.validation_loss, expected[:, 1], rtol=0, atol=tolerance)


@st.composite
def populations(draw: st.DrawFn, *, alike: bool) -> tuple[Shape, list[Member]]:
    """Random shape and members, with learning rates at which no optimizer here runs away.

    Members that are alike have one depth and one batch size, so that they fit one stack.
    """
    optimizer = draw(st.sampled_from(["SGD", "Adam", "AdamW"]))
    loss = draw(st.sampled_from(sorted(LOSSES)))
    activation = draw(st.sampled_from(sorted(ACTIVATIONS)))
    shape = Shape(activation, loss, optimizer, n_outputs(loss), double=True)
    low, high = (1e-3, 0.05) if optimizer == "SGD" else (1e-4, 0.01)

    def member(kind: tuple[int, int | None]) -> st.SearchStrategy[Member]:
        depth, batch_size = kind
        return st.builds(
            Member,
            seed=st.integers(0, 2**31),
            hidden_units=st.tuples(*[st.integers(1, 9)] * depth),
            lr=st.floats(low, high),
            epochs=st.sampled_from([1, 50, 200] if batch_size is None else [1, 8, 40]),
            momentum=st.sampled_from([0.0, 0.9]) if optimizer == "SGD" else st.just(0.0),
            weight_decay=st.sampled_from([0.0, 0.01]),
            batch_size=st.just(batch_size),
        )

    kinds = st.tuples(st.integers(0, 3), st.sampled_from([None, 7, 16]))
    members = member(draw(kinds)) if alike else kinds.flatmap(member)
    return shape, draw(st.lists(members, min_size=1, max_size=4))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(populations(alike=False), st.booleans())
def test_member_equals_plain_loop(drawn: tuple[Shape, list[Member]], weighted: bool) -> None:
    """Whatever the specs, weights and company, a member's curves equal its own plain loop's to 1e-9 in float64."""
    shape, members = drawn
    train, monitored = make_rows(shape.loss, 40, 1, weighted=weighted), make_rows(shape.loss, 20, 2)
    outcomes = train_population(shape, members, train, monitored)
    for member, outcome in zip(members, outcomes, strict=True):
        # The loss at the last epoch has the whole training behind it; L1's sign gradients may jump at a kink.
        assert_equals_plain(shape, member, outcome, train, monitored, 1e-7 if shape.loss == "l1" else 1e-9)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(populations(alike=True), st.data())
def test_pruned_member_equals_a_shorter_one(drawn: tuple[Shape, list[Member]], data: st.DataObject) -> None:
    """A member pruned after any epoch is one with so many epochs, and those that stay don't notice."""
    shape, members = drawn
    train, monitored = make_rows(shape.loss, 40, 1), make_rows(shape.loss, 20, 2)
    stops = [data.draw(st.integers(1, member.epochs)) for member in members]

    def prune(population: Population) -> None:
        population.release([index for index in population.active if stops[index] == population.epoch])

    outcomes = finish_population(Population(shape, members, train, monitored), announce=prune)
    for member, stop, outcome in zip(members, stops, outcomes, strict=True):
        shorter = replace(member, epochs=stop)
        assert_equals_plain(shape, shorter, outcome, train, monitored, 1e-7 if shape.loss == "l1" else 1e-9)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_weights_equal_to_1e9_after_200_epochs(loss: str) -> None:
    """In float64 the weights themselves equal the plain loop's to 1e-9 after 200 epochs, padding included."""
    shape = Shape("sigmoid", loss, "SGD", n_outputs(loss), double=True)
    members = [Member(seed, units, 0.05, 200) for seed, units in enumerate([(3, 8), (7, 2), (8, 8)])]
    train, monitored = make_rows(loss, 40, 1), make_rows(loss, 20, 2)
    population = Population(shape, members, train, monitored)
    for _ in range(199):
        population.run_epoch()
    population._update()
    for position, member in enumerate(members):
        network, _ = plain_loop(shape, member, train, monitored)
        linears = [layer for layer in network if isinstance(layer, nn.Linear)]
        for weights, linear in zip(population.stack.weights_poi, linears, strict=True):
            out, into = linear.weight.shape
            own = weights[position, :out, :into].detach()
            np.testing.assert_allclose(own, linear.weight.detach(), rtol=0, atol=1e-9)
            assert not weights[position, out:].any()
            assert not weights[position, :, into:].any()


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize(
    ("loss", "optimizer"), [("bce_with_logits", "Adam"), ("cross_entropy", "SGD"), ("mse", "AdamW")]
)
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_bits_do_not_depend_on_company(activation: str, loss: str, optimizer: str, batch_size: int | None) -> None:
    """In float32 a member has the same bits alone, in a pair, and among seventeen of its own widths."""
    shape = Shape(activation, loss, optimizer, n_outputs(loss))
    train, monitored = make_rows(loss, 301, 1), make_rows(loss, 99, 2)
    epochs = 60 if batch_size is None else 5
    members = [Member(seed, (10, 7), 0.01, epochs, momentum=0.5, batch_size=batch_size) for seed in range(17)]
    alone = train_population(shape, members[:1], train, monitored)[0]
    for size in (2, 17):
        among = train_population(shape, members[:size], train, monitored)[0]
        for own, other in zip(alone.network.weights, among.network.weights, strict=True):
            assert own.tobytes() == other.tobytes()
        for own, other in zip(alone.network.biases, among.network.biases, strict=True):
            assert own.tobytes() == other.tobytes()
        assert alone.history.validation_loss.tobytes() == among.history.validation_loss.tobytes()


@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize("loss", ["bce_with_logits", "cross_entropy", "mse"])
def test_bits_with_weights(loss: str, batch_size: int | None) -> None:
    """With weights, too, a member's bits don't depend on its company; weights of 1 leave the bits of none."""
    shape = Shape("relu", loss, "Adam", n_outputs(loss))
    train, monitored = make_rows(loss, 301, 1, weighted=True), make_rows(loss, 99, 2)
    members = [Member(seed, (10, 7), 0.01, 5, batch_size=batch_size) for seed in range(5)]

    def bits(rows: Rows, count: int) -> list[bytes]:
        outcome = train_population(shape, members[:count], rows, monitored)[0]
        history = outcome.history
        arrays = (*outcome.network.weights, history.train_loss, history.train_accuracy, history.validation_loss)
        return [array.tobytes() for array in arrays]

    assert bits(train, 1) == bits(train, 5)
    plain = replace(train, weights=None)
    assert bits(replace(train, weights=np.ones(301, dtype=np.float32)), 1) == bits(plain, 1) != bits(train, 1)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_row_of_weight_two_is_the_row_twice(loss: str) -> None:
    """With weights of 1, 2 and 3, 1 on average, training is that of a table that has each row so many times."""
    shape = Shape("tanh", loss, "SGD", n_outputs(loss), double=True)
    once, monitored = make_rows(loss, 32, 1), make_rows(loss, 20, 2)
    times = np.resize([1, 2, 2, 3], 32)
    weighted = replace(once, weights=(times / times.mean()).astype(np.float32))
    repeated = Rows(once.features.repeat(times, axis=0), once.target.repeat(times))
    outcomes = [
        train_population(shape, [Member(0, (5,), 0.05, 40)], rows, monitored)[0] for rows in (weighted, repeated)
    ]
    one, other = (outcome.history for outcome in outcomes)
    np.testing.assert_allclose(one.train_loss, other.train_loss, rtol=0, atol=1e-9)
    np.testing.assert_allclose(one.validation_loss, other.validation_loss, rtol=0, atol=1e-9)


def test_diverging_member_leaves_others_untouched() -> None:
    """A loss that becomes NaN ends that member soon, with the reason, and changes no bit of the others."""
    shape = Shape("relu", "mse", "SGD", 1)
    train, monitored = make_rows("mse", 60, 1), make_rows("mse", 30, 2)
    calm = [Member(seed, (8,), 0.05, 100) for seed in (1, 2)]
    wild = Member(3, (8,), 1e6, 100)
    active: list[int] = []
    first, failed, second = train_population(
        shape, [calm[0], wild, calm[1]], train, monitored, announce=lambda p: active.append(len(p.active))
    )
    assert active[EPOCHS_BETWEEN_CHECKS - 1] == 2
    assert failed.failure is not None
    assert failed.failure.startswith(("train/loss became", "validation/loss became"))
    assert all(np.isfinite(curve).all() for curve in failed.history.curves().values())
    assert f"in epoch {len(failed.history.train_loss)}" in failed.failure
    assert first.failure is None
    for outcome, expected in zip((first, second), train_population(shape, calm, train, monitored), strict=True):
        assert outcome.network.weights[0].tobytes() == expected.network.weights[0].tobytes()


def test_members_stop_at_their_own_epochs() -> None:
    """A member with fewer epochs leaves with a shorter history, and equals the same member trained without company.

    While the others go on, the last loss that is told of it stays what it was.
    """
    shape = Shape("tanh", "bce_with_logits", "SGD", 1)
    train, monitored = make_rows("bce_with_logits", 40, 1), make_rows("bce_with_logits", 20, 2)
    members = [Member(seed, (4,), 0.1, epochs, batch_size=16) for seed, epochs in enumerate((5, 30, 1))]
    announced: list[tuple[int, int]] = []
    losses: list[list[float]] = []

    def listen(population: Population) -> None:
        announced.append((population.epoch, len(population.active)))
        losses.append([population.last_monitored_loss(index) for index in range(3)])

    outcomes = train_population(shape, members, train, monitored, announce=listen)
    assert [len(outcome.history.train_loss) for outcome in outcomes] == [5, 30, 1]
    assert announced[0] == (1, 2)
    assert announced[4] == (5, 1)
    assert announced[-1] == (30, 0)
    for index, outcome in enumerate(outcomes):
        followed = outcome.history.validation_loss.tolist()
        assert [after[index] for after in losses] == followed + followed[-1:] * (30 - len(followed))
    alone = train_population(shape, members[:1], train, monitored)[0]
    assert outcomes[0].network.weights[0].tobytes() == alone.network.weights[0].tobytes()


@pytest.mark.parametrize("n_monitored", [0, 1])
def test_without_monitored_rows_there_is_no_validation_curve(n_monitored: int) -> None:
    """A population trains without monitored rows, and then says nothing about validation; one row is enough.

    Its batches come in the order of a loop that has no loader of such rows.
    """
    shape = Shape("relu", "bce_with_logits", "SGD", 1)
    train = make_rows("bce_with_logits", 40, 1)
    monitored = Rows(train.features[:n_monitored], train.target[:n_monitored])
    member = Member(0, (4,), 0.1, 3, batch_size=16)
    outcome = train_population(shape, [member], train, monitored)[0]
    validation = {"validation/loss", "validation/accuracy"} if n_monitored else set()
    assert set(outcome.history.curves()) == {"train/loss", "train/accuracy"} | validation
    (order,) = Population(shape, [member], train, monitored).orders
    expected = BatchOrder(0, 40, monitored=bool(n_monitored))
    for _ in range(2):
        assert torch.equal(order.next_epoch(), expected.next_epoch())


@pytest.mark.parametrize(
    ("lr", "epochs", "n_monitored", "failure"),
    [
        (3e38, 1, 0, "weights are no longer finite after epoch 0"),  # its loss was measured before
        (1e25, 2, 0, "train/loss became nan in epoch 1"),
        (1e25, 1, 32, "validation/loss became inf in epoch 0"),  # the weights are finite still
    ],
)
def test_a_loss_or_weights_that_overflow_are_a_failure(lr: float, epochs: int, n_monitored: int, failure: str) -> None:
    """In its very last epoch too a member fails by either: by weights without a loss, and by a loss alone."""
    rows = make_rows("mse", 40, 1)
    monitored = Rows(rows.features[:n_monitored], rows.target[:n_monitored])
    (outcome,) = train_population(Shape("identity", "mse", "SGD", 1), [Member(0, (), lr, epochs)], rows, monitored)
    assert outcome.failure == failure


@pytest.mark.parametrize("weighted", [False, True])
def test_long_parts_go_through_in_blocks(weighted: bool) -> None:
    """More rows than one block holds, in training, monitoring or a batch, give what the plain loop gives."""
    train = make_rows("cross_entropy", MOST_ROWS + 1000, 1, weighted=weighted)
    monitored = make_rows("cross_entropy", 2 * MOST_ROWS + 5, 2)
    for batch_size in (None, MOST_ROWS + 10):
        shape = Shape("tanh", "cross_entropy", "Adam", 3, double=True)
        member = Member(0, (4, 3), 0.01, 4, batch_size=batch_size)
        (outcome,) = train_population(shape, [member], train, monitored)
        assert_equals_plain(shape, member, outcome, train, monitored, 1e-9)


def test_stacks_hold_members_that_are_alike() -> None:
    """Every member is in one stack; a stack has one depth, pads less than twofold, and stays within its memory.

    Within these bounds those that are alike are together, wherever they stand.
    """
    shape = Shape("relu", "bce_with_logits", "SGD", 1)
    widths = [(4,), (5, 5), (7,), (8,), (15, 2), (), (), (512, 512), (300, 512)] * 50
    members = [Member(seed, units, 0.1, 1, batch_size=seed % 3 or None) for seed, units in enumerate(widths)]
    chosen = stacks(shape, members, 800, 200, 2**40)
    assert sorted(index for stack in chosen for index in stack) == list(range(len(members)))
    for stack in chosen:
        units = [members[index].hidden_units for index in stack]
        assert len({(len(members[index].hidden_units), members[index].batch_size) for index in stack}) == 1
        widest = [max(own, default=0) for own in units]
        assert max(widest) < 2 * min(widest) or max(widest) == 0
        rows = {None: 800, 1: 32, 2: 32}[members[stack[0]].batch_size] + 224
        need = max(sum(own) for own in units) * rows * 4 * len(stack)
        assert need <= STACK_BYTES or len(stack) == 1
    few = [Member(seed, units, 0.1, 1) for seed, units in enumerate([(4,), (5, 5), (7,), (6, 4)])]
    assert stacks(shape, few, 800, 200, 2**40) == [[0, 2], [1, 3]]


def test_padding_outlives_the_member_it_was_for() -> None:
    """When the widest member leaves, the padding of those that stay still passes nothing on."""
    shape = Shape("sigmoid", "bce_with_logits", "Adam", 1, double=True)
    train, monitored = make_rows("bce_with_logits", 40, 1), make_rows("bce_with_logits", 20, 2)
    members = [Member(0, (4,), 0.01, 50), Member(1, (5,), 0.01, 1)]
    narrow, _ = train_population(shape, members, train, monitored)
    assert_equals_plain(shape, members[0], narrow, train, monitored, 1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_accuracy_of_all_rows_is_one(batch_size: int | None, weighted: bool) -> None:
    """Accuracy is a count over a count: exactly 1 when every row is right, on any number of rows of any weight."""
    random = np.random.default_rng(0)
    features = random.normal(size=(33, 1)).astype(np.float32)
    rows = Rows(features, (features[:, 0] > 0).astype(np.int64))
    train = replace(rows, weights=np.geomspace(0.1, 2, 33, dtype=np.float32)) if weighted else rows
    shape = Shape("identity", "bce_with_logits", "SGD", 1)
    (outcome,) = train_population(shape, [Member(0, (), 5.0, 200, batch_size=batch_size)], train, rows)
    assert outcome.history.train_accuracy[-1] == 1
    assert outcome.history.validation_accuracy[-1] == 1
    shares = outcome.history.validation_accuracy * 33
    assert (shares == shares.round()).all()


def test_memory_bounds_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less memory makes smaller stacks; too little for a single network is told with what it takes, to the byte.

    Unless it is given it is an eighth of what is free.
    """
    shape = Shape("relu", "bce_with_logits", "SGD", 1)
    members = [Member(seed, (100, 100), 0.1, 1) for seed in range(20)]
    need = 201 * (800 + 224) * 3 * 4  # units × rows in whole blocks × buffers × bytes
    for memory, most in ((need, 1), (3 * need - 1, 2), (3 * need, 3)):
        assert max(map(len, stacks(shape, members, 800, 200, memory))) == most
        monkeypatch.setattr("pipeline.training.population.free_memory", lambda memory=memory: 8 * memory + 7)
        assert max(map(len, stacks(shape, members, 800, 200))) == most
    at_most = 201 * (MOST_ROWS + 224) * 3 * 4  # long parts go through in pieces
    assert stacks(shape, members[:1], 10**6, 200, at_most) == [[0]]
    with pytest.raises(BadInput, match="memory: 1 MiB are too few for one network of 201 units; allow at least 3 MiB"):
        stacks(shape, members, 800, 200, 2**20)
    train, monitored = make_rows("bce_with_logits", 800, 1), make_rows("bce_with_logits", 200, 2)
    with pytest.raises(BadInput, match="2 MiB are too few"):
        train_population(shape, members, train, monitored, memory=need - 1)


def test_free_memory_is_the_systems() -> None:
    """What is free is more than nothing and less than there is."""
    assert 0 < free_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_training_takes_one_thread() -> None:
    """Whatever the number of torch's threads is, training takes one, and leaves the number as it was."""
    rows, before = make_rows("mse", 40, 1), torch.get_num_threads()
    taken: list[int] = []
    torch.set_num_threads(2)
    try:
        population = Population(Shape("relu", "mse", "SGD", 1), [Member(0, (3,), 0.01, 2)], rows, rows)
        finish_population(population, announce=lambda _: taken.append(torch.get_num_threads()))
        assert (taken, torch.get_num_threads()) == ([1, 1], 2)
    finally:
        torch.set_num_threads(before)


def test_order_of_outcomes_is_that_of_the_members() -> None:
    """However members are stacked, each gets its own outcome."""
    shape = Shape("relu", "mse", "SGD", 1)
    train, monitored = make_rows("mse", 40, 1), make_rows("mse", 20, 2)
    members = [Member(3, (40,), 0.01, 2), Member(1, (), 0.01, 3), Member(2, (3, 3), 0.01, 1), Member(0, (4,), 0.01, 4)]
    outcomes = train_population(shape, members, train, monitored)
    assert [outcome.network.hidden_units for outcome in outcomes] == [(40,), (), (3, 3), (4,)]
    assert [len(outcome.history.train_loss) for outcome in outcomes] == [2, 3, 1, 4]

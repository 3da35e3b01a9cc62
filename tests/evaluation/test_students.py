"""Students (evaluation networks): batches, CutMix, and when they are tested."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ncfm_hub.errors import Diverged
from ncfm_hub.evaluation import batches as batches_module
from ncfm_hub.evaluation.batches import TrainingSet, one_hot
from ncfm_hub.evaluation.protocol import Row, measure
from ncfm_hub.evaluation.students import StudentPlan, StudentResult, Students
from ncfm_hub.matching.cutmix import cutmix, draw_cutmix
from ncfm_hub.matching.philox import key_of
from ncfm_hub.networks.build import Architecture, channel_statistics, normalise
from ncfm_hub.networks.stacked import TogetherTrainer
from ncfm_hub.networks.trainer import Batch
from ncfm_hub.utils.progress import Bar, Progress, Silent
from tests.damage import Notes
from tests.evaluation.tiny_subject import tiny_subject
from tests.matching.tiny import plain_engine, tiny_source

PLAN = StudentPlan(updates=5, batch_size=8, lr=2e-3, weight_decay=5e-4, schedule="one-cycle", cutmix=0.5, flip=False)
SOURCE = tiny_source(per_class=10)
ARCHITECTURE = Architecture("ncfm_convnet3", 3, 3, 16, *channel_statistics(SOURCE.train.images))


class Listening(Notes):
    """Keeps what is noted, and how far the bar went."""

    total = done = 0

    @contextmanager
    def bar(self, total: int, what: str, done: int = 0) -> Iterator[Bar]:
        self.total = total
        yield self

    def advance(self, count: int = 1, **figures: float | str) -> None:
        self.done += count


def training_set(rows: slice = slice(None)) -> TrainingSet:
    images, labels = SOURCE.train.images[rows], SOURCE.train.labels[rows]
    return TrainingSet(images, labels, one_hot(labels, 3))


def batches_of(students: Students, training: TrainingSet, seed: int) -> list[Batch]:
    """All batches of one student."""
    return [(x[0], targets[0]) for x, targets in students._batches([(training, seed)])]


def train(students: Students, seed: int, training: TrainingSet | None = None) -> StudentResult:
    with Silent().bar(0, "tests") as bar:
        given = training or training_set()
        return students.train_and_test(given, SOURCE.test.images, SOURCE.test.labels, seed, bar)


# --- CutMix ------------------------------------------------------------------------------------------------------


def mixes(count: int, batch: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Images whose every pixel is their own number, so that what was pasted can be counted."""
    x = torch.arange(batch).float()[:, None, None, None].expand(batch, 2, 8, 12).contiguous()
    return [mixed(x, torch.eye(batch), 1.0, 0, number) for number in range(count)]


def mixed(
    x: torch.Tensor, targets: torch.Tensor, probability: float, seed: int, number: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch of one student."""
    k0, k1 = (torch.tensor([word]) for word in key_of(seed, "cutmix"))
    drawn = draw_cutmix((k0, k1), torch.tensor([number]), len(x), (x.shape[2], x.shape[3]), probability)
    images, soft = cutmix(x[None], targets[None], drawn[0])
    return images[0], soft[0]


def test_targets_are_mixed_in_the_proportion_of_the_pixels() -> None:
    mixed_boxes = 0
    for x, targets in mixes(60):
        for row in range(6):
            shares = torch.stack([(x[row, 0] == other).float().mean() for other in range(6)])
            torch.testing.assert_close(targets[row], shares, atol=1e-6, rtol=0)
            assert torch.equal(x[row, 0], x[row, 1])
        changed = (x != torch.arange(6)[:, None, None, None]).any(1)
        mixed_boxes += bool(changed.any())
        for one in changed:  # what was pasted is one box
            rows, columns = one.any(1).sum(), one.any(0).sum()
            assert one.sum() == rows * columns
    assert mixed_boxes > 45


def test_partners_are_a_permutation_of_the_batch() -> None:
    for _, targets in mixes(30):
        torch.testing.assert_close(targets.sum(0), torch.ones(6))
        torch.testing.assert_close(targets.sum(1), torch.ones(6))


def test_areas_spread_over_the_image_as_beta_one_says() -> None:
    """lambda ~ U(0, 1), side sqrt(1 - lambda), a box of any centre cut at the frame: by simulation."""
    k0, k1 = (torch.tensor([word]) for word in key_of(1, "cutmix"))
    drawn = draw_cutmix((k0, k1), torch.arange(1500), 2, (64, 64), 1.0)
    height, width = (box.diff(dim=-1).clamp_min(0).flatten() for box in (drawn.rows, drawn.columns))
    found = height * width / 64**2
    draws = torch.Generator().manual_seed(0)
    side, centre = torch.rand(20_000, 1, generator=draws).sqrt(), torch.rand(20_000, 2, generator=draws)
    edges = (centre + side / 2).clamp(max=1) - (centre - side / 2).clamp(min=0)
    expected = edges.prod(1)
    assert found.mean().item() == pytest.approx(expected.mean().item(), abs=0.03)
    assert found.std().item() == pytest.approx(expected.std().item(), abs=0.03)


def test_probability_of_mixing() -> None:
    x, targets = torch.arange(4.0)[:, None, None, None].expand(4, 1, 8, 8), torch.eye(4)
    for probability, low, high in ((0.0, 0, 0), (0.5, 150, 250)):
        kept = [torch.equal(mixed(x, targets, probability, 2, number)[1], targets) for number in range(400)]
        # One permutation of four in 24 pairs every image with itself, and tiny boxes paste nothing.
        assert low <= 400 - sum(kept) <= high


def test_soft_targets_are_mixed_too_and_sums_kept() -> None:
    targets = torch.rand(8, 5, generator=torch.Generator().manual_seed(0)).softmax(1)
    x = torch.rand(8, 3, 8, 8)
    before = x.clone()
    for number in range(10):
        _, shares = mixed(x, targets, 1.0, 3, number)
        torch.testing.assert_close(shares.sum(1), torch.ones(8))
    assert torch.equal(x, before)


# --- batches and training ----------------------------------------------------------------------------------------


def test_batches_have_one_size_and_visit_every_image_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without augmentation and CutMix, images carry their number through."""
    monkeypatch.setattr("ncfm_hub.evaluation.batches.augment", lambda x, draw: x)
    plan = replace(PLAN, updates=15, batch_size=8, cutmix=0.0)
    students = Students(replace(ARCHITECTURE, mean=(0.0,) * 3, std=(1 / 255,) * 3), plan, plain_engine())
    images = torch.arange(12, dtype=torch.uint8)[:, None, None, None].expand(12, 3, 16, 16).contiguous()
    training = TrainingSet(images, torch.zeros(12, dtype=torch.int64), torch.eye(12))
    batches = batches_of(students, training, 0)
    assert [len(x) for x, _ in batches] == [8] * 15
    numbers = torch.cat([x[:, 0, 0, 0] for x, _ in batches]).round().long()
    assert torch.bincount(numbers, minlength=12).tolist() == [10] * 12
    assert torch.equal(torch.cat([targets for _, targets in batches]).argmax(1), numbers)
    for first in range(0, 120, 12):
        assert sorted(numbers[first : first + 12].tolist()) == list(range(12))
    assert numbers[:12].tolist() != numbers[12:24].tolist()


def test_a_batch_larger_than_the_set_repeats_it() -> None:
    students = Students(ARCHITECTURE, replace(PLAN, batch_size=20, updates=2), plain_engine())
    batches = batches_of(students, training_set(slice(3)), 0)
    assert [len(x) for x, _ in batches] == [20, 20]


def test_students_are_augmented_without_cutout_and_mirrored_only_where_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def listen(x: torch.Tensor, draw: Any) -> torch.Tensor:
        seen.append(draw)
        return x

    monkeypatch.setattr("ncfm_hub.evaluation.batches.augment", listen)
    for flip in (False, True):
        seen.clear()
        batches_of(Students(ARCHITECTURE, replace(PLAN, flip=flip, updates=20), plain_engine()), training_set(), 0)
        assert len(seen) == 20
        assert all(draw.cutout is None for draw in seen)
        assert all(draw.colour is not None for draw in seen)
        assert any((draw.affine[:, 0, 0] < 0).any() for draw in seen) == flip


def test_batches_of_a_student_do_not_depend_on_those_beside_it() -> None:
    """Of sets of other sizes and labels, drawn over several rounds."""
    students = Students(ARCHITECTURE, replace(PLAN, updates=12, cutmix=0.7, flip=True), plain_engine())
    full = training_set()
    hard = TrainingSet(full.images[:7], full.labels[:7])
    jobs = [(full, 0), (hard, 0), (full, 1), (training_set(slice(5)), 3)]
    together = list(students._batches(jobs))
    assert [x.shape for x, _ in together] == [(4, 8, 3, 16, 16)] * 12
    for k, (training, seed) in enumerate(jobs):
        for (x, targets), (one, other) in zip(together, batches_of(students, training, seed), strict=True):
            assert torch.equal(x[k], one)
            assert torch.equal(targets[k], other)


def test_how_many_updates_are_drawn_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    students = Students(ARCHITECTURE, replace(PLAN, updates=12, cutmix=0.7, flip=True), plain_engine())
    usual = batches_of(students, training_set(), 0)
    monkeypatch.setattr(batches_module, "DRAWN_TOGETHER", 5 * PLAN.batch_size)
    for (x, targets), (one, other) in zip(batches_of(students, training_set(), 0), usual, strict=True):
        assert torch.equal(x, one)
        assert torch.equal(targets, other)


def test_the_same_seed_trains_the_same_student() -> None:
    students, others = (Students(ARCHITECTURE, PLAN, plain_engine()) for _ in range(2))
    first = train(students, 0)
    weights = {name: tensor.clone() for name, tensor in students.trainer.network.state_dict().items()}
    train(students, 1)  # another in between
    changed = students.trainer.network.state_dict()
    assert any(not torch.equal(weights[name], changed[name]) for name in weights)
    assert train(others, 0) == first
    again = others.trainer.network.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_students_of_one_seed_start_alike_whatever_they_are_given() -> None:
    students = Students(ARCHITECTURE, replace(PLAN, updates=1, lr=1e-12), plain_engine())
    heads = []
    for training in (training_set(), training_set(slice(6))):
        train(students, 3, training)
        heads.append(students.trainer.network.state_dict()["head.weight"].clone())
    torch.testing.assert_close(heads[0], heads[1], atol=1e-9, rtol=0)


def test_seeds_give_students_other_weights_and_other_batches() -> None:
    students = Students(ARCHITECTURE, PLAN, plain_engine())
    weights = [students._fresh_weights(seed)["blocks.0.weight"] for seed in (0, 1)]
    batches = [batches_of(students, training_set(), seed)[0][0] for seed in (0, 1)]
    assert not torch.equal(*weights)
    assert not torch.equal(*batches)


def test_accuracy_is_that_of_the_last_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The authors report the best epoch on the test set; here the test set is looked at once, at the end."""
    students = Students(ARCHITECTURE, PLAN, plain_engine())
    events: list[str] = []
    fit, logits = students.trainer.fit, students.trainer.logits

    def listen_fit(*args: Any, **options: Any) -> None:
        fit(*args, **(options | {"on_update": lambda: events.append("update")}))

    def listen_logits(images: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        events.append("test" if images is SOURCE.test.images else "train")
        return logits(images, *rest, **options)

    monkeypatch.setattr(students.trainer, "fit", listen_fit)
    monkeypatch.setattr(students.trainer, "logits", listen_logits)
    train(students, 0)
    assert events == ["update"] * PLAN.updates + ["test", "train"]


def test_a_student_that_came_to_nothing_is_not_one_of_chance_accuracy() -> None:
    students = Students(ARCHITECTURE, replace(PLAN, lr=1e30, cutmix=0.0), plain_engine())
    with pytest.raises(Diverged, match=r"not finite after 5 updates at the rate 1e\+30; try a lower one"):
        train(students, 0)


@pytest.mark.slow
def test_a_student_learns() -> None:
    students = Students(ARCHITECTURE, replace(PLAN, updates=40, cutmix=0.0, batch_size=16), plain_engine())
    found = train(students, 0)
    assert found.accuracy > 80
    assert found.train_accuracy > 80


def test_without_augmentation_students_see_the_images_as_they_are() -> None:
    plain = Students(ARCHITECTURE, replace(PLAN, augment=False, cutmix=0.0, updates=6), plain_engine())
    known = {image.numpy().tobytes() for image in normalise(SOURCE.train.images, ARCHITECTURE)}
    batches = batches_of(plain, training_set(), 0)
    assert len(batches) == 6
    for x, targets in batches:
        assert all(image.contiguous().numpy().tobytes() in known for image in x)
        assert torch.equal(targets.sort(1).values, torch.tensor([0.0, 0.0, 1.0]).expand_as(targets))


@pytest.mark.parametrize("together", [False, True])
def test_labels_alone_train_the_same_student_as_one_hot_targets(together: bool) -> None:
    """To the bit: a whole split of many classes has no room for its one-hot floats."""
    full = training_set()
    labels_alone = TrainingSet(full.images, full.labels)
    students = Students(ARCHITECTURE, PLAN, plain_engine(), at_once=2 if together else 1)
    if together:
        with Silent().bar(1, "") as bar:
            one, other = students.train_and_test_together(
                [(full, 4), (labels_alone, 4)], SOURCE.test.images, SOURCE.test.labels, bar
            )
    else:
        one, other = (train(students, 4, some) for some in (full, labels_alone))
    assert one == other


def test_of_a_whole_split_only_batches_become_one_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def count(labels: torch.Tensor, classes: int) -> torch.Tensor:
        made.append(labels.numel())
        return one_hot(labels, classes)

    monkeypatch.setattr(batches_module, "one_hot", count)
    subject = tiny_subject(size=16)
    whole = TrainingSet(subject.source.train.images, subject.source.train.labels)
    students = Students(subject.architecture(), subject.plan(), subject.engine)
    with Silent().bar(1, "") as bar:
        students.train_and_test(whole, subject.source.test.images, subject.source.test.labels, 0, bar)
    assert made == [subject.plan().batch_size] * subject.plan().updates
    assert subject.training("hard").targets is None
    start = subject.start()
    assert start is not None
    assert start.targets is None


def test_a_batch_is_prepared_without_a_break_in_the_graph() -> None:
    """A GPU runs normalisation, augmentation and CutMix compiled as one: here traced, and not compiled."""
    students = Students(ARCHITECTURE, replace(PLAN, cutmix=0.7, flip=True), plain_engine())
    expected = batches_of(students, training_set(), 0)
    whole = partial(torch.compile, fullgraph=True, dynamic=False, backend="aot_eager")
    students.engine = SimpleNamespace(device=torch.device("cpu"), fuse=whole)  # type: ignore[assignment]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = batches_of(students, training_set(), 0)
    for (x, targets), (one, other) in zip(found, expected, strict=True):
        torch.testing.assert_close(x, one)
        torch.testing.assert_close(targets, other)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["ncfm_convnet3", "convnet-d3-w32-batch-relu-avg"])
def test_students_that_memory_does_not_hold_begin_again_in_smaller_groups(
    monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    """All rows and seeds go at once; after two updates more than two run out of memory."""
    sets = {"one": training_set(slice(20)), "two": training_set(slice(8, 30)), "three": training_set()}
    rows = [Row(name, "hard", given, 3) for name, given in sets.items()]
    fit, groups, notes = TogetherTrainer.fit, [], Listening()

    def limited(self: TogetherTrainer, batches: Iterable[Batch], *rest: Any, **options: Any) -> None:
        taken = iter(batches)
        x, targets = next(taken)
        groups.append(len(x))
        if len(x) > 2:
            fit(self, [(x, targets), next(taken)], *rest, **options)
            raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        fit(self, chain([(x, targets)], taken), *rest, **options)

    def measured(at_once: int, progress: Progress) -> list[dict[str, Any]]:
        students = Students(replace(ARCHITECTURE, name=backbone), PLAN, plain_engine(), at_once=at_once)
        return measure(rows, SOURCE.test, students, range(2), plain_engine(), progress=progress)

    expected = measured(2, Silent())
    monkeypatch.setattr(TogetherTrainer, "fit", limited)
    found = measured(6, notes)
    assert groups == [6, 3, 2, 2]  # and two more alone
    for one, other in zip(found, expected, strict=True):
        for key in ("set", "accuracy", "train_accuracy", "per_class"):
            assert one[key] == other[key]
    assert notes.said == ["out of memory with 6 networks at once: beginning again with fewer"]
    assert notes.done == notes.total == 6 * PLAN.updates

"""Baselines: what each method selects, against a naive implementation of its definition."""

import itertools

import pytest
import torch

from ncfm_hub.evaluation.baselines import el2n, herding, k_center, random_images, select
from ncfm_hub.networks.build import FeaturesAndLogits, build_network, normalise
from tests.matching.tiny import plain_engine, tiny_pool, tiny_source


def cloud(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))


def test_herding_takes_what_brings_the_mean_closest() -> None:
    features = cloud(12).double()
    taken: list[int] = []
    for _ in range(6):
        distance = {
            row: float((features[[*taken, row]].mean(0) - features.mean(0)).norm())
            for row in range(12)
            if row not in taken
        }
        taken.append(min(distance, key=distance.__getitem__))
    assert herding(features.float(), 6).tolist() == taken
    assert sorted(herding(features, 12).tolist()) == list(range(12))


def test_k_center_takes_the_farthest_from_all_taken() -> None:
    features = cloud(12, seed=1)
    taken = [int(torch.cdist(features, features.mean(0, keepdim=True)).argmin())]
    while len(taken) < 6:
        nearest = torch.cdist(features, features[taken]).min(1).values
        taken.append(int(nearest.argmax()))
    assert k_center(features, 6).tolist() == taken


def test_k_center_covers_within_twice_the_best_radius() -> None:
    features = cloud(9, seed=2)
    distances = torch.cdist(features, features)

    def radius(rows: tuple[int, ...]) -> float:
        return float(distances[:, list(rows)].min(1).values.max())

    best = min(radius(rows) for rows in itertools.combinations(range(9), 3))
    assert radius(tuple(k_center(features, 3).tolist())) <= 2 * best + 1e-6


def test_k_center_takes_equal_images_once_each() -> None:
    assert sorted(k_center(torch.ones(4, 2), 4).tolist()) == [0, 1, 2, 3]


def test_el2n_is_the_length_of_the_error() -> None:
    logits = torch.tensor([[0.0, 0.0], [2.0, -1.0]])
    for label in (0, 1):
        expected = [float((row.softmax(0) - torch.eye(2)[label]).square().sum().sqrt()) for row in logits]
        assert el2n(logits, label).tolist() == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "herding", "k-center", "el2n"])
def test_every_baseline_gives_ipc_images_of_each_class(name: str) -> None:
    source = tiny_source(per_class=6)
    pool, engine = tiny_pool(source), plain_engine()
    found = select(name, source, 4, 0, pool, engine)
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    of_source = {image.numpy().tobytes(): int(label) for image, label in zip(*vars(source.train).values(), strict=True)}
    assert [of_source[image.numpy().tobytes()] for image in found.images] == found.labels.tolist()
    assert len({image.numpy().tobytes() for image in found.images}) == 12
    again = select(name, source, 4, 0, pool, engine)
    assert torch.equal(found.images, again.images)
    more = select(name, source, 9, 0, pool, engine)  # more than a class has: all of them, and some again
    assert more.labels.tolist() == [0] * 9 + [1] * 9 + [2] * 9
    for label in range(3):
        distinct = {image.numpy().tobytes() for image in more.images[more.labels == label]}
        assert len(distinct) == 6 if name != "random" else len(distinct) > 1


def test_random_images_follow_the_seed() -> None:
    source = tiny_source(per_class=10)
    assert torch.equal(random_images(source, 3, 1).images, select("random", source, 3, 1).images)
    assert not torch.equal(random_images(source, 3, 1).images, random_images(source, 3, 2).images)


def test_images_are_judged_by_trained_members() -> None:
    """Herding by the first one's normalised features, EL2N by the mean over all."""
    source = tiny_source(per_class=6)
    pool, engine = tiny_pool(source, members=2), plain_engine()
    networks = []
    for _, trained in pool.members:
        network = FeaturesAndLogits(build_network(pool.architecture)).eval()
        network.network.load_state_dict(trained)
        networks.append(network)
    rows = source.class_indices()[1]
    images = normalise(source.train.images[rows], pool.architecture)
    with torch.no_grad():
        features = networks[0](images)[0]
        scores = torch.stack([el2n(network(images)[1], 1) for network in networks]).mean(0)
    herded = rows[herding(features / features.norm(dim=1, keepdim=True), 2)]
    hardest = rows[scores.topk(2).indices]
    of_class = slice(2, 4)
    assert torch.equal(select("herding", source, 2, 0, pool, engine).images[of_class], source.train.images[herded])
    assert torch.equal(select("el2n", source, 2, 0, pool, engine).images[of_class], source.train.images[hardest])

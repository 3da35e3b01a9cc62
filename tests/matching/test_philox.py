"""The counter-based generator: published vectors, and draws that depend on their own counter alone."""

import pytest
import torch

from ncfm_hub.matching.philox import Stream, below, key_of, permutations, philox, scaled

# Random123's known answers for philox4x32-10: counter, key, result.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), VECTORS)
def test_published_vectors(counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]) -> None:
    c0, c1, c2, c3 = (torch.tensor([word, 7]) for word in counter)
    assert tuple(int(word[0]) for word in philox((c0, c1, c2, c3), key)) == words
    # Any of the words may be plain numbers, and keys tensors.
    k0, k1 = (torch.tensor(word) for word in key)
    found = philox((torch.tensor(counter[0]), counter[1], counter[2], counter[3]), (k0, k1))
    assert tuple(int(word) for word in found) == words


def test_words_are_uniform_and_uncorrelated_along_every_word_of_the_counter() -> None:
    count = 4096
    items = torch.arange(count)
    for counter in ((items, 0, 0), (torch.tensor(0), items, 0), (torch.tensor(0), 0, items)):
        random = Stream(key_of(0, "test"), *counter)
        drawn = torch.stack([random.uniform() for _ in range(8)]).double()
        assert ((drawn >= 0) & (drawn < 1)).all()
        assert (drawn.mean(1) - 0.5).abs().max() < 4 / (12 * count) ** 0.5
        assert (drawn.var(1) - 1 / 12).abs().max() < 4 * (1 / 180 / count) ** 0.5
        assert torch.corrcoef(drawn).fill_diagonal_(0).abs().max() < 4.5 / count**0.5
        neighbours = torch.corrcoef(torch.stack([drawn[0, 1:], drawn[0, :-1]]))[0, 1]
        assert neighbours.abs() < 4 / count**0.5


def test_integers_are_equally_likely_up_to_the_largest_end() -> None:
    random = Stream(key_of(1, "test"), torch.arange(30_000))
    counts = random.integers(7).bincount()
    assert len(counts) == 7
    assert ((counts - 30_000 / 7).abs() < 4 * (30_000 * 6 / 49) ** 0.5).all()
    largest = torch.tensor([0, 0xFFFFFFFF])
    assert below(largest, 2**31 - 1).tolist() == [0, 2**31 - 2]
    assert scaled(largest, -2.0, 2.0).tolist() == [-2.0, 2.0 - 4 * 2.0**-24]


def test_an_item_s_draws_depend_on_its_own_counter() -> None:
    def drawn(items: torch.Tensor, group: torch.Tensor | int, number: int) -> torch.Tensor:
        random = Stream(key_of(0, "test"), items, group, number)
        return torch.stack([random.word() for _ in range(6)], -1)

    every = drawn(torch.arange(5), torch.tensor([[9], [4]]), 3)
    assert every.shape == (2, 5, 6)
    assert torch.equal(drawn(torch.tensor([3, 1]), 4, 3), every[1, [3, 1]])
    for other in (drawn(torch.arange(5), 4, 2), drawn(torch.arange(5), 5, 3), drawn(torch.arange(5) + 5, 4, 3)):
        assert not (other == every[1]).any(0).all()


def test_how_many_are_drawn_at_once_changes_nothing() -> None:
    items, labels = torch.arange(5), torch.tensor([[9], [4]])
    usual, others = (Stream(key_of(0, "test"), items, labels, 3, at_once) for at_once in (4, 8))
    for _ in range(13):
        assert torch.equal(usual.word(), others.word())


def test_keys_differ_by_seed_and_purpose() -> None:
    keys = {key_of(seed, purpose) for seed in range(50) for purpose in ("a", "b", "bank a")}
    assert len(keys) == 150
    assert all(0 <= word < 2**32 for key in keys for word in key)


def test_permutations_are_each_their_own_and_equally_likely() -> None:
    key = key_of(0, "test")
    found = permutations(key, 3, torch.arange(30)[:, None], torch.arange(40))
    assert found.shape == (30, 40, 3)
    assert torch.equal(found.sort(-1).values, torch.arange(3).expand(30, 40, 3))
    counts = (found.flatten(0, 1) @ torch.tensor([9, 3, 1])).unique(return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 200).abs() < 4 * (1200 * 5 / 36) ** 0.5).all()
    assert torch.equal(permutations(key, 3, torch.tensor([7]), torch.tensor([11])), found[7, 11:12])
    k0, k1 = (torch.tensor([word, word + 1]) for word in key)
    several = permutations((k0, k1), 50, torch.tensor(7), torch.tensor(11))
    assert torch.equal(several[0], permutations(key, 50, torch.tensor(7), torch.tensor(11)))
    assert not torch.equal(several[0], several[1])

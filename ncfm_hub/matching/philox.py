"""Random integers from a key and a counter, in tensor operations: Philox-4x32-10.

A counter-based generator has no state: word i of a sequence is a function of the key and i. All draws of a step can
therefore be made at once on the device that uses them, and each depends on its own counter only. The integers are the
same on every device. Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

import hashlib

import torch

MASK = 0xFFFFFFFF  # torch has no unsigned arithmetic to speak of: words are the lower halves of int64
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)

Word = torch.Tensor | int
Words = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def philox(counter: tuple[Word, Word, Word, Word], key: tuple[Word, Word]) -> Words:
    """Return four words for each counter; counters and keys are int64 tensors or ints in 0..2^32-1 that broadcast."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The product of two words is exact modulo 2^64, and the shift of its sign is masked out.
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (second >> 32 & MASK) ^ c1 ^ k0, second & MASK
        c2, c3 = (first >> 32 & MASK) ^ c3 ^ k1, first & MASK
        k0, k1 = k0 + _WEYL[0] & MASK, k1 + _WEYL[1] & MASK
    return c0, c1, c2, c3  # type: ignore[return-value]  # ints only if all of counter and key are


def key_of(seed: int, purpose: str) -> tuple[int, int]:
    """Return the key of one purpose under a run's seed."""
    digest = hashlib.sha256(f"{int(seed)}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


class Stream:
    """Successive draws for many items at once; each item's depend on the key and its own counter only.

    item, group, number: the counter, three words that broadcast to the shape of the items; for example the place in a
        batch, the class's label and the step
    at_once: draws computed together, four or a multiple of it; it changes none of them
    """

    def __init__(self, key: tuple[Word, Word], item: Word, group: Word = 0, number: Word = 0, at_once: int = 4):
        self._key, self._counter = key, (item, group, number)
        self._block, self._blocks = 0, at_once // 4
        self._waiting: list[torch.Tensor] = []
        shapes = [word.shape for word in (*key, item, group, number) if isinstance(word, torch.Tensor)]
        self.shape = torch.broadcast_shapes(*shapes)

    def word(self) -> torch.Tensor:
        """Draw integers uniform in 0..2^32-1: int64 of the items' shape."""
        if not self._waiting:
            self._fill()
        return self._waiting.pop(0)

    def _fill(self) -> None:
        (item, group, number), first = self._counter, self._block
        end = self._block = first + self._blocks
        if self._blocks == 1:
            self._waiting = list(philox((item, first, group, number), self._key))
            return
        device = next(word.device for word in (*self._key, item, group, number) if isinstance(word, torch.Tensor))
        blocks = torch.arange(first, end, device=device).reshape(-1, *(1 for _ in self.shape))
        words = philox((item, blocks, group, number), self._key)
        self._waiting = [word[place] for place in range(self._blocks) for word in words]

    def uniform(self, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Draw from [low, high): float32."""
        return scaled(self.word(), low, high)

    def integers(self, end: int) -> torch.Tensor:
        """Draw from 0..end-1: int64."""
        return below(self.word(), end)


def scaled(word: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Map words to float32 in [low, high) by their upper 24 bits."""
    return low + (high - low) * ((word >> 8).float() * 2.0**-24)


def below(word: torch.Tensor, end: int) -> torch.Tensor:
    """Map words to integers 0..end-1, end < 2^31; a value is off its share by less than end / 2^32."""
    return word * end >> 32


def permutations(key: tuple[Word, Word], length: int, group: torch.Tensor, number: torch.Tensor) -> torch.Tensor:
    """Return permutations of 0..length-1, one for each (group, number): int64 (..., length).

    key, group, number: broadcast to the leading shape
    """
    items = torch.arange(-(-length // 4), device=group.device)
    key = (_column(key[0]), _column(key[1]))
    words = torch.stack(philox((items, 0, group[..., None], number[..., None]), key), -1)
    return words.flatten(-2)[..., :length].sort(dim=-1, stable=True).indices


def _column(word: Word) -> Word:
    return word[..., None] if isinstance(word, torch.Tensor) else word

"""Memories of a continual learner: distilled images, or real ones selected at random or by herding.

All memories have the same storage budget: a number of full images per class.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ncfm_hub.evaluation.baselines import CHOSEN_BY_EXTRACTORS, select
from ncfm_hub.evaluation.batches import TrainingSet
from ncfm_hub.evaluation.subjects import Subject
from ncfm_hub.extractors.soft_labels import soft_labels
from ncfm_hub.sources.types import ImageSet
from ncfm_hub.utils.progress import Progress

DISTILLED = "distilled"
MEMORIES = (DISTILLED, "random", "herding")


@dataclass(frozen=True)
class Memory:
    """A memory over all classes.

    labels: "hard" or "soft"
    classes: number of classes
    stored_per_class: storage budget in full images
    sets: training data for each class order, often the same
    """

    name: str
    labels: str
    classes: int
    stored_per_class: int
    sets: tuple[TrainingSet, ...]

    @property
    def images_per_class(self) -> int:
        """Number of training images per class; the mean, rounded up, if classes differ."""
        return -(-len(self.sets[0].labels) // self.classes)


def make_memories(
    subject: Subject, names: Sequence[str], labels: str, seeds: Sequence[int], progress: Progress
) -> list[Memory]:
    """Create memories with "hard" or "soft" labels, for one class order per seed.

    The random memory is sampled anew for each seed, so that its spread includes sampling. Real images get soft labels
    from the extractors. Raises DistilledError if the distilled dataset has no soft labels.
    """
    distilled = subject.training(labels)
    real = [name for name in names if name != DISTILLED]
    needed = real and (labels == "soft" or any(name in CHOSEN_BY_EXTRACTORS for name in real))
    pool = subject.extractors(progress) if needed else None

    def labelled(chosen: ImageSet) -> TrainingSet:
        targets = None
        if labels == "soft":
            assert pool is not None
            targets = soft_labels(chosen.images, pool, subject.engine, progress=progress, classes=subject.class_names)
        return TrainingSet(chosen.images, chosen.labels, targets)

    def sets_of(name: str) -> tuple[TrainingSet, ...]:
        if name == DISTILLED:
            return (distilled,) * len(seeds)
        draws = seeds if name == "random" else [subject.seed]
        found = [select(name, subject.source, subject.ipc, seed, pool, subject.engine, progress) for seed in draws]
        sets = tuple(labelled(chosen) for chosen in found)
        return sets if name == "random" else sets * len(seeds)

    return [Memory(name, labels, len(subject.class_names), subject.ipc, sets_of(name)) for name in names]

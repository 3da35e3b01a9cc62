"""Classes distilled separately can equal those of one distillation, since draws are keyed by label."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ncfm_hub.distillation.draws import Draws
from ncfm_hub.distillation.loop import distill_images
from ncfm_hub.distillation.start import start_rows
from ncfm_hub.evaluation.baselines import random_images, select
from ncfm_hub.machine.engine import Engine
from ncfm_hub.matching.augment import draw_augmentation
from ncfm_hub.matching.philox import Stream, key_of, philox
from ncfm_hub.sources.subset import only_classes
from ncfm_hub.sources.types import Source
from ncfm_hub.utils.seeding import generator
from tests.matching.tiny import tiny_pool, tiny_settings, tiny_source


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ipc": 2, "calibration": 0.0, "optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
        {"bank": 2, "orthogonal": True},
        {"matching": "mean", "factor": 1, "ipc": 3},
    ],
    ids=["plain", "pure", "bank", "mean"],
)
def test_a_class_distilled_apart_has_the_same_bits(
    engine: Engine, changes: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, alone or not, on images whose rows fill no whole vector registers."""
    monkeypatch.setenv("NCFM_HUB_CACHE", str(tmp_path))
    source = tiny_source(classes=4, channels=1, size=18)
    pool, settings = tiny_pool(source), tiny_settings(**{"steps": 3, **changes})
    every = distill_images(source, pool, settings, engine).stored.split(settings.ipc)
    assert not torch.equal(every[0], every[1])
    for some in ([2, 0], [1], [3]):
        part = only_classes(source, [f"class {c}" for c in some])
        found = distill_images(part, pool, settings, engine).stored.split(settings.ipc)
        for images, c in zip(found, some, strict=True):
            assert torch.equal(images, every[c])


@pytest.fixture
def relabelled(source: Source) -> Source:
    """The source's images as if its classes were 7, 2 and 5 of a larger one."""
    info = replace(source.info, class_ids=(7, 2, 5), classes_in_source=9)
    return replace(source, info=info)


def test_draws_are_keyed_by_the_label_in_the_source(source: Source, relabelled: Source) -> None:
    """Not by the position among the classes used."""
    for some, labels in ((source, (0, 1, 2)), (relabelled, (7, 2, 5))):
        draws = Draws(some, "", 3, torch.device("cpu"), real_batch=5, synthetic=4, flip=True, cutout=True)
        random = random_images(some, 5, seed=3)
        for c, label in enumerate(labels):
            rows = some.class_indices()[c]
            geometry = Stream(key_of(3, "geometry"), torch.tensor([0]), label, 6).integers(3)
            assert torch.equal(draws.geometry(6, [c]), geometry)
            words = torch.stack(philox((torch.arange(3), 0, label, 6), key_of(3, "real images")), 1).flatten()
            assert torch.equal(draws.rows(6, [c]), rows[words.sort().indices[:5]])
            side = draw_augmentation(
                Stream(key_of(3, "synthetic augmentation"), torch.arange(4), label, 6),
                (16, 16),
                geometry=geometry,
                flip=True,
            )
            assert torch.equal(draws.decoded(6, [c], geometry).affine, side.affine)
            start = rows[torch.randperm(12, generator=generator(3, "start", label))[:8]]
            assert torch.equal(start_rows(some, c, 2, 2, seed=3), start)
            of_class = random.images[random.labels == c]
            assert torch.equal(
                of_class,
                some.train.images[rows[torch.randperm(12, generator=generator(3, "random images", label))[:5]]],
            )


@pytest.mark.slow
def test_real_images_are_chosen_alike_from_a_part_of_the_classes(engine: Engine) -> None:
    """By extractors that know more classes; more images than there are, so that some are drawn again."""
    source = tiny_source(per_class=6, classes=4)
    pool = tiny_pool(source)
    part = only_classes(source, ["class 3", "class 1"])
    for name in ("random", "herding", "el2n"):
        every = select(name, source, 8, 0, pool, engine).images.split(8)
        found = select(name, part, 8, 0, pool, engine)
        assert found.labels.tolist() == [0] * 8 + [1] * 8
        assert torch.equal(found.images, torch.cat([every[3], every[1]])), name

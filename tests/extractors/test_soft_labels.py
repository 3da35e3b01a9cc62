"""Soft labels: the trained members' mean probabilities."""

import torch

from ncfm_hub.extractors.soft_labels import soft_labels
from tests import oracle
from tests.matching.tiny import plain_engine, tiny_pool, tiny_source


def test_they_are_the_mean_of_the_trained_members_softmaxes() -> None:
    source = tiny_source(per_class=6)
    pool = tiny_pool(source, members=3)
    images = source.train.images
    found = soft_labels(images, pool, plain_engine(), at_once=7)
    mean, std = (torch.tensor(v).double()[:, None, None] for v in (pool.architecture.mean, pool.architecture.std))
    x = (images.double() / 255 - mean) / std
    each = []
    for _, trained in pool.members:
        odds = torch.exp(oracle.convnet(trained, x)[1])
        each.append(odds / odds.sum(1, keepdim=True))
    torch.testing.assert_close(found.double(), torch.stack(each).mean(0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.double().sum(1), torch.ones(18).double(), atol=3e-7, rtol=0)
    assert found.shape == (18, 3)
    assert found.dtype == torch.float32
    torch.testing.assert_close(soft_labels(images, pool, plain_engine(), at_once=100), found, atol=1e-6, rtol=0)

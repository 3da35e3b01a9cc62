"""Extractor pools of (init, trained) pairs: train, cache, find. Importing this registers ConvNet-d with timm."""

from ncfm_hub.networks import convnet as convnet

"""Pools of (init, trained) pairs: made, kept and found. Importing this registers ConvNet-d with timm."""

from ncfm_hub.networks import convnet as convnet

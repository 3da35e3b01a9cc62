"""Networks, their training, and the pool of (init, trained) pairs. Importing this registers ConvNet-d with timm."""

from ncfm_hub.extractors import convnet as convnet

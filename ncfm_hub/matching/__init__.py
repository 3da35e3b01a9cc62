"""The mathematics of NCFM: characteristic functions, frequencies, augmentation, synthetic images, the update step."""

"""The mathematics: characteristic functions, frequencies, augmentation, synthetic images, the step."""

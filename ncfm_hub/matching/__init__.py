"""The mathematics: characteristic functions, their discrepancy, frequencies, augmentation, synthetic images, the step."""

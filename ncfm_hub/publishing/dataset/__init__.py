"""The files of a distilled dataset: written, read back, and given to others."""

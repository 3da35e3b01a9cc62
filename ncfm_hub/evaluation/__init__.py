"""Evaluation: train students (evaluation networks) from scratch on a distilled dataset and measure test accuracy."""

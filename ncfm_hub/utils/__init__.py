"""Utilities independent of distillation: files, Hub client, progress, seeds."""

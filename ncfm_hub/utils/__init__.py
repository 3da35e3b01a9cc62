"""What knows nothing of distillation: files, the client of a Hub, progress, seeds."""

"""The distillation loop and its state."""

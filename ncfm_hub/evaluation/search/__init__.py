"""Whether a distilled dataset ranks architectures as the full training set does."""

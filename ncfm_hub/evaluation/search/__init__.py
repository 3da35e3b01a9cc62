"""Whether a distilled dataset ranks architectures as the whole dataset does."""

"""How good a set is: networks trained on it from scratch, and what they know of the source's test split."""

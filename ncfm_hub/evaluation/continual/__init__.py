"""A distilled dataset as the memory of a class-incremental learner."""

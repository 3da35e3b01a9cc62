"""Files of a distilled dataset: write, read and convert them."""

"""The cards of datasets and pools: what they state, and what a person wrote in them."""

"""The addresses of the hub, by subject."""

"""The routes of the hub, by subject."""

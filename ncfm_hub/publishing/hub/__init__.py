"""A folder put on a Hub and read back."""

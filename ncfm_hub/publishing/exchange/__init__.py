"""Formats of others: exports and imports."""

"""Resolve names, files and flags into one recipe."""

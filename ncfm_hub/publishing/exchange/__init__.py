"""Exchange formats: exports and imports."""

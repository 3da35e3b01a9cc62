"""Names, files and flags become one recipe: its schema, the files, and how they are put together."""

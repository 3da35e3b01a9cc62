"""Extractor pools as users see them: in the cache, in folders and on the Hub."""

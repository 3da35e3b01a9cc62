"""Check a published dataset against itself: does each part say the same as the others?"""

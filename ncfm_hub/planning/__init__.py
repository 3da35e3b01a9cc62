"""What is settled before a run starts: source, cost, target repository, and classes to append."""

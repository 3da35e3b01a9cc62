"""What is settled before a run starts: source, cost, target, and what is added to which set."""

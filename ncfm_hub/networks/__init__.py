"""Build, freeze and train networks."""

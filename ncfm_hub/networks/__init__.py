"""Make, freeze and train networks."""

"""Compare two distilled datasets: what was set, what came out, and what it measures."""

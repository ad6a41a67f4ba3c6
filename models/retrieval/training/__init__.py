"""Training of the two towers: windows of history, the loop, its curve, warm starts."""

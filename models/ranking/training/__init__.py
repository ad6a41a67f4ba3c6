"""Training of the ranker and of its BERT: loops, losses, optimisers, what is fitted on eval, warm starts."""

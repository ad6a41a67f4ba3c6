"""From a folder with versions to models that are ready: sources, checks, loading, warm-up."""

"""How a loaded graph runs: sessions and batches."""

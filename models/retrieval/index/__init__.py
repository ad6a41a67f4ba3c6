"""Top-k over candidates: exact, partitioned or ScaNN, with filters and text match."""

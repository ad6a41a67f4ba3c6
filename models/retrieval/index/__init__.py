"""Top-k over candidates: exact or partitioned, with filters and text match."""

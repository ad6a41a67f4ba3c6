"""The query tower, the candidate tower and the layers that they are made of."""

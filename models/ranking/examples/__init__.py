"""What ranking trains and is evaluated on: prediction points, their labels, and what retrieval returns there."""

"""What another policy would have been worth, from pages that were served by chance: estimates, and their support."""

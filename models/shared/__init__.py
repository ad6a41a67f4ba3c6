"""What retrieval and ranking have in common."""

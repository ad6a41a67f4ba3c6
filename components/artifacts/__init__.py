"""What components hand to each other: the artifact types, and how each lies on disk."""

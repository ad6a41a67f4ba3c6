"""Whether reasons are true of the model that they are about: its lists without a part of what it was told."""

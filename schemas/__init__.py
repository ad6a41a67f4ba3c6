"""What the data looks like: the dataset description and the feature spec that every room derives from."""

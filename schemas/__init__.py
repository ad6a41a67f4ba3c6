"""The dataset description, the feature spec and the readers of tables."""

"""What texts say of items: BERT's readings, and the heads that turn them into who wants what."""

"""What a client sees: gRPC and REST, their messages and their encodings."""

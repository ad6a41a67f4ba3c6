"""The live home page: events come in, the next page knows them. One process, one event loop, no TensorFlow."""

"""One pipeline component a file: Inputs, Outputs, Config, a pure function and a thin `run`."""

import homefeed.models  # noqa: F401  Chooses the Keras versions before any component imports TensorFlow.

"""Keras and TFRS models, text processing, index and metrics. Knows nothing of pipelines or files."""

import os

# TFRS needs tf-keras (Keras 2) behind `tf.keras`; KerasNLP goes on using Keras 3 in the same process.
# Both read their choice once, when TensorFlow is first imported, so it is made before that.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

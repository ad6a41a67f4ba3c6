"""Imports TFDV without its warning about IPython on stderr."""

import contextlib
import io

with contextlib.redirect_stderr(io.StringIO()):
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

__all__ = ["stats_impl", "tfdv"]

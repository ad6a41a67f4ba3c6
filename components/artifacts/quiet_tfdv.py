"""TFDV without its remark, on stderr, that notebooks would need IPython."""

import contextlib
import io

with contextlib.redirect_stderr(io.StringIO()):
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

__all__ = ["stats_impl", "tfdv"]

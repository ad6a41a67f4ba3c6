import pathlib

import numpy as np
import pytest

from homefeed.components.drift.compare import run_drift
from homefeed.schemas.dataset import DatasetError


def test_statistics_of_tfdv(tmp_path: pathlib.Path) -> None:
    import pandas as pd
    import tensorflow_data_validation as tfdv

    def statistics(name: str, rows: pd.DataFrame) -> pathlib.Path:
        path = tmp_path / name / "FeatureStats.pb"
        path.parent.mkdir()
        path.write_bytes(tfdv.generate_statistics_from_dataframe(rows).SerializeToString())
        return path.parent

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"kind": rng.choice(["a", "b"], 5000), "price": rng.normal(size=5000)})
    same = pd.DataFrame({"kind": rng.choice(["a", "b"], 5000), "price": rng.normal(size=5000)})
    moved = same.assign(price=same.price + 0.5)
    before = statistics("before", table)
    assert not run_drift(before, statistics("same", same)).drifted
    drifted = run_drift(before, statistics("moved", moved)).drifted
    assert [found.feature for found in drifted] == ["statistics.price"]
    many = pd.DataFrame({"kind": [f"id{n}" for n in range(5000)], "price": 1.0})
    with pytest.raises(DatasetError, match=r"most frequent values of statistics.kind \(1,000 of"):
        run_drift(before, statistics("many", many))

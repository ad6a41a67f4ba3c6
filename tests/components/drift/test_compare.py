import pathlib

import numpy as np
import pytest

from homefeed.components.drift.compare import compare, run_drift
from homefeed.components.drift.findings import Finding
from homefeed.schemas.dataset import DatasetError
from tests.components.drift.days import day, summary
from tests.components.ingested import events, write_dataset


def test_what_cannot_be_evaluated_is_an_error() -> None:
    before, after = summary(day(1)), summary(day(2))
    with pytest.raises(DatasetError, match=r"Thresholds for interactions.value:l_infinity cannot be evaluated. What"):
        compare(before, after, {"interactions.value:l_infinity": 0.1})
    short = {name: column for name, column in day(2).items() if name != "value"}
    with pytest.raises(DatasetError, match=r"interactions.value is in day only"):
        compare(before, summary(short))
    with pytest.raises(DatasetError, match="interactions has no rows"):
        compare(before, summary(day(2), np.zeros(6000, bool)))
    assert Finding("x", "l_infinity", float("nan"), 0, 1, "").drifted


def test_folders_and_curated_comparators(tmp_path: pathlib.Path) -> None:
    rows = [(f"u{n % 7}", "ABC"[n % 3], n, ("view", "buy")[n % 2]) for n in range(500)]
    text = events(rows, "user_id,item_id,timestamp,event_type")
    before = write_dataset(tmp_path / "before", text)
    after = write_dataset(tmp_path / "after", text.replace("buy", "bought"))
    (tmp_path / "interactions.pbtxt").write_text(
        'feature { name: "event_type" type: BYTES drift_comparator { infinity_norm { threshold: 0.6 } } }'
    )
    assert [f"{f.feature}:{f.measure}" for f in run_drift(before, after).drifted] == [
        "interactions.event_type:l_infinity"
    ]
    report = run_drift(before, after, tmp_path / "interactions.pbtxt")  # "buy" fell by 0.5.
    assert not report.drifted
    (tmp_path / "interactions.pbtxt").write_text(
        'feature { name: "timestamp" type: INT drift_comparator { infinity_norm { threshold: 0.6 } } }'
    )
    with pytest.raises(DatasetError, match=r"Thresholds for interactions.timestamp:l_infinity cannot be evaluated"):
        run_drift(before, after, tmp_path)
    with pytest.raises(DatasetError, match="is no TFRecord file of PredictionLogs"):
        run_drift(before, tmp_path)

from benchmarks import off_policy


def test_estimates_come_near_the_truth_where_the_naive_one_does_not() -> None:
    found = off_policy.measure(60, num_pages=2_000, num_users=200)
    assert found["soft.naive.relative_error"] > 0.15
    for estimator in ("snips", "doubly_robust"):
        # A tenth of the pages of the benchmark, whose mean error is below 3%: the root of ten times as much.
        assert found[f"soft.{estimator}.relative_error"] < 0.095
        assert abs(found[f"soft.{estimator}.bias"]) < 0.03
        assert 0.87 <= found[f"soft.{estimator}.coverage"] <= 1.0  # Of 60 runs; by 200 it is 93 to 97%.
    assert found["greedy.effective_sample_size"] < found["soft.effective_sample_size"] / 4

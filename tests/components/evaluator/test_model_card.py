from homefeed.components.evaluator.model_card import model_card
from tests.components.evaluator.test_page import report

COMPARED = {"all": {"ours": 0.375, "in_service": 0.25, "difference": 0.125, "interval": [0.1, 0.15]}}


def test_a_blessed_model_says_so() -> None:
    card = model_card(report())
    assert card.startswith("# Model card\n") and card.endswith("\n") and not card.endswith("\n\n")
    assert "**Blessed**: it passed every check below." in card and "Not blessed" not in card


def test_a_refused_model_lists_why() -> None:
    card = model_card(report(blessed=False, reasons=["worse than popularity", "slow"]))
    assert "**Not blessed**, and not to be served:\n- worse than popularity\n- slow\n" in card


def test_figures_stand_in_tables_with_their_intervals() -> None:
    card = model_card(report())
    assert "12,345 events of 678 users, 2025-01-01 to 2025-02-01; 90 items." in card
    assert "| eval | retrieval + ranking | 0.3750 | 0.2000 to 0.3000 | 1,200 |\n" in card
    assert "| test | popularity | 0.2500 | 0.2000 to 0.3000 | 1,200 |\n" in card
    assert "| category: <b> | 0.1250 | 0.1000 to 0.2000 | 60 | yes |\n" in card
    assert "differ by 0.013 on average (Brier score 0.210, 1,200 events)" in card
    assert "show 50.0% of the catalogue" in card and "1.50 times as popular" in card


def test_a_comparison_is_there_if_something_was_in_service() -> None:
    assert "Against the models in service" not in model_card(report())
    card = model_card(report(comparison=COMPARED))
    assert "Against the models in service, on the same questions:" in card
    assert "| all | 0.3750 | 0.2500 | +0.1250 | 0.1000 to 0.1500 |\n" in card


def test_a_split_without_queries_has_no_intervals() -> None:
    found = report()
    found["splits"]["test"]["methods"]["popularity"] |= {"ndcg@10_interval": None, "queries": 0, "ndcg@10": 0.0}
    assert "| test | popularity | 0.0000 |  | 0 |\n" in model_card(found)


def test_groups_stand_in_the_card_and_no_name_breaks_the_table() -> None:
    card = model_card(report())
    assert "## Guarded groups\n" in card and "## When little changes\n" in card
    assert (
        "| eval | gender: F\\|X | 56 | others alike | -40.0% (-60.0% to -25.0%) | -21.0% | 20% | 45% | worse |"
        in card
    )
    assert "| eval | in zh | 9 | 45.0% | 25.0% (20.0% to 30.0%) | 35.0% |" in card

"""Every table has a rule, told from its contract; what cannot be told is refused, in words."""

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import TEXT, Column, Contract
from trasos_assets.samples.rules import LEFT_OUT, Rule, SampleError, chosen_tables, in_order, needed, rule_of

EXPECTED = {
    Rule.PERSON: {"evaluations", "orders", "customer_features", "training_interactions", "recommendations"},
    Rule.ACTS: {"raw_events", "clean_events", "interactions", "order_lines"},
    Rule.UNIT: {"raw_assignments", "assignments"},
    Rule.IDENTITY: {"identities"},
    Rule.FACTORS: {"als_model", "champion_model"},
    Rule.PAIRS: {"also_bought"},
    Rule.ITEMS: {"raw_catalogue", "catalogue_history", "catalogue", "item_features", "similar_items", "substitutes"},
    Rule.LINES: {"event_keys", "event_states", "quarantined_events", "quarantined_records"},
}


def test_every_table_that_points_at_people_or_items_is_sampled_as_expected() -> None:
    found = {rule: {name for name, contract in CONTRACTS.items() if rule_of(contract) is rule} for rule in EXPECTED}
    assert found == EXPECTED


def test_a_table_that_is_taken_whole_has_no_personal_column() -> None:
    for name, contract in CONTRACTS.items():
        if rule_of(contract) is Rule.WHOLE:
            assert contract.pii <= {"raw", "extra"}, name


def test_a_new_personal_table_without_a_rule_is_refused_by_name() -> None:
    letters = Contract(
        "letters", "analytics", "Letters.", (Column("address", TEXT, "Where to.", pii=True),), ("address",)
    )
    with pytest.raises(SampleError, match=r"letters has personal columns \(address\).*rules\.py"):
        rule_of(letters)


def test_tables_come_after_those_that_they_need() -> None:
    names = [contract.name for contract in in_order(["also_bought", "quarantined_records", "catalogue", "als_model"])]
    assert len(names) == len(set(names))
    for name in names:
        assert set(needed(CONTRACTS[name])) <= set(names[: names.index(name)])
    assert {"clean_events", "raw_assignments"} <= set(names)


def test_tables_are_found_with_and_without_their_team() -> None:
    assert chosen_tables(["orders", " analytics.orders", "engineering.clean_events"]) == ["orders", "clean_events"]


def test_an_unknown_table_is_refused_with_those_that_look_like_it() -> None:
    with pytest.raises(SampleError, match="no table 'clean_evnts'; did you mean clean_events"):
        chosen_tables(["clean_evnts"])
    with pytest.raises(SampleError, match=r"no table 'analytics\.order'; did you mean orders"):
        chosen_tables(["analytics.order"])
    with pytest.raises(SampleError, match="no table is named"):
        chosen_tables([])


def test_what_speaks_of_erased_people_is_never_handed_out() -> None:
    assert not set(LEFT_OUT) & set(chosen_tables(None))
    assert set(chosen_tables(None)) | set(LEFT_OUT) == set(CONTRACTS)
    for name in LEFT_OUT:
        with pytest.raises(SampleError, match="nothing of it is handed out"):
            chosen_tables([name])

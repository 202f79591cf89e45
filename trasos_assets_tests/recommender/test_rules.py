from pathlib import Path

import pytest

from trasos_assets.recommender.rules import Rules, RulesError, read_rules

TEMPLATE = Path(__file__).parents[2] / "docs" / "examples" / "rules.yaml"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    return file


def test_the_template_of_the_docs_is_read_and_says_what_it_shows() -> None:
    rules = read_rules(TEMPLATE)
    assert rules.exclude.categories and rules.exclude.items
    assert rules.minimum_stock == 2 and rules.at_most.brand == 4 and rules.at_most.category == 6
    assert set(rules.pinned) == {1, 5}


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_no_file_and_an_empty_one_ask_for_nothing(tmp_path: Path, text: str) -> None:
    assert read_rules(None) == read_rules(written(tmp_path, text)) == Rules()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "minimum_stock: 1\nexclud: {}\n",
            "line 2, exclud: no such rule; known here are exclude, minimum_stock, at_most",
        ),
        ("exclude:\n  item: [a]\n", "line 2, exclude.item: no such rule; known here are categories, items"),
        ("exclude:\n  items: a\n", "line 2, exclude.items: write a list of texts"),
        ("exclude:\n  items: [a,\n    17850]\n", "line 2, exclude.items: write a list of texts"),
        ("at_most:\n  category: 3\n  brand: 0\n", "line 3, at_most.brand: Input should be greater than or equal to 1"),
        ("minimum_stock: two\n", "line 1, minimum_stock: Input should be a valid integer"),
        ("minimum_stock: true\n", "line 1, minimum_stock: Input should be a valid integer"),
        ("\npinned:\n  0: a\n", "line 2, pinned: slot 0 is no rank; write a whole number from 1 to 200"),
        ("pinned: [a]\n", "line 1, pinned: write slots and items"),
        ("pinned: {1: a, 2: [b, a]}\n", "a is pinned twice; name an item in one slot only"),
        ("exclude: {items: [a]}\npinned: {1: a}\n", "a is excluded too; take it out of exclude.items or of pinned"),
        ("pinned:\n  1: a\n  1: b\n", "line 3: the key '1' comes twice"),
        ("exclude: [\n", "line 2: no YAML"),
        ("- a\n", "line 1: rules are keys and values"),
    ],
)
def test_what_is_no_rule_is_named_with_its_line_and_what_to_write(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(RulesError) as error:
        read_rules(file)
    assert str(file) in str(error.value) and told in str(error.value)


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RulesError) as error:
        read_rules(written(tmp_path, "minimum_stock: -1\nat_most: {brand: x}\nfoo: 1\n"))
    assert all(f"line {line}," in str(error.value) for line in (1, 2, 3))


def test_a_file_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match=r"missing\.yaml cannot be read .*TRASOS_RULES_FILE"):
        read_rules(tmp_path / "missing.yaml")

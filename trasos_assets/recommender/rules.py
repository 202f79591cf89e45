"""What the business asks of the shop's lists: a small YAML file, read and checked whole before a list is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

LAST_SLOT = 200


class RulesError(ValueError):
    """A rules file that cannot be followed; the message names file, line and key, and what to write instead."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Excluded(_Strict):
    """What is in no list: ``categories`` by their name in the catalogue, ``items`` by their id."""

    categories: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()

    @field_validator("categories", "items", mode="before")
    @classmethod
    def _set(cls, value: Any) -> Any:
        return frozenset(_texts(value))


class AtMost(_Strict):
    """How many items of one brand, and of one category, a list may hold (None: any); items without one are free."""

    brand: int | None = Field(default=None, ge=1)
    category: int | None = Field(default=None, ge=1)


class Rules(_Strict):
    """Rules of every list.

    ``exclude``: what is in no list. ``minimum_stock``: items of less known stock are in none; an item whose stock
    nobody reports is in. ``at_most``: per list. ``pinned``: slot (the rank in the list, from 1) to the items of which
    the first that the person can be shown stands there: available, not excluded, not bought. Pinned items count towards
    ``at_most``, which holds back others and never them. A slot for which no item is left is filled as any other; a slot
    beyond the list's length is not there.
    """

    exclude: Excluded = Excluded()
    minimum_stock: int = Field(default=0, ge=0)
    at_most: AtMost = AtMost()
    pinned: Mapping[int, tuple[str, ...]] = {}

    @field_validator("pinned", mode="before")
    @classmethod
    def _pins(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("write slots and items, e.g. {1: i00042}")
        pins = {}
        for slot, items in value.items():
            if isinstance(slot, bool) or not isinstance(slot, int) or not 1 <= slot <= LAST_SLOT:
                raise ValueError(f"slot {slot!r} is no rank; write a whole number from 1 to {LAST_SLOT}")
            pins[slot] = _texts([items] if isinstance(items, str) else items)
        return pins

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        items = [item for of_slot in self.pinned.values() for item in of_slot]
        if twice := sorted({item for item in items if items.count(item) > 1}):
            raise ValueError(f"pinned: {', '.join(twice)} is pinned twice; name an item in one slot only")
        if both := sorted(self.exclude.items.intersection(items)):
            raise ValueError(f"pinned: {', '.join(both)} is excluded too; take it out of exclude.items or of pinned")
        return self


def _texts(value: Any) -> Any:
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(one, str) for one in value):
        raise ValueError("write a list of texts, e.g. [gift cards, i00042]; a number needs quotes")
    return tuple(value)


def read_rules(file: Path | None) -> Rules:
    """The rules of a YAML file; without a file, or with an empty one, rules that ask for nothing.

    Raises:
        RulesError: the file cannot be read, is no YAML, or holds something that is no rule.
    """
    if file is None:
        return Rules()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(
            f"{file} cannot be read ({type(error).__name__}); mend TRASOS_RULES_FILE or the file, which is UTF-8 text"
        ) from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        told = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise RulesError(f"{file}{line}: no YAML ({problem}); see docs/serving.md") from error
    if told is None:
        return Rules()
    if not isinstance(told, dict):
        raise RulesError(f"{file}, line 1: rules are keys and values; known keys are {', '.join(Rules.model_fields)}")
    if twice := _doubled(node):
        raise RulesError(f"{file}, line {twice[1]}: the key {twice[0]!r} comes twice; put both into one")
    try:
        return Rules.model_validate(told)
    except ValidationError as error:
        raise RulesError("; ".join(_sentence(file, node, problem) for problem in error.errors())) from error


def _doubled(node: Any) -> tuple[str, int] | None:
    """The first key that one mapping has twice, with its line: YAML's reader would take the last and say nothing."""
    if isinstance(node, yaml.SequenceNode):
        return next((found for child in node.value if (found := _doubled(child))), None)
    if not isinstance(node, yaml.MappingNode):
        return None
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            return key.value, key.start_mark.line + 1
        seen.add(key.value)
        if found := _doubled(value):
            return found
    return None


def _sentence(file: Path, node: Any, problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    line, known = node.start_mark.line + 1, Rules.model_fields
    for depth, part in enumerate(path):
        found = [pair for pair in getattr(node, "value", []) if isinstance(pair, tuple) and pair[0].value == part]
        if not found:
            break
        line, node = found[0][0].start_mark.line + 1, found[0][1]
        if depth == 0 and part in ("exclude", "at_most"):
            known = (Excluded if part == "exclude" else AtMost).model_fields
    what = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        what = f"no such rule; known here are {', '.join(known)}"
    return f"{file}, line {line}, {'.'.join(path) or 'rules'}: {what}"

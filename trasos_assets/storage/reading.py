"""Which columns of which tables an Ibis expression reads: from its own tree, without running it.

Columns are followed from the result down. A value counts only if somebody above asks for it; what decides on rows
(filters, join keys, groups, sort keys, duplicates) always counts. A part of the tree that is unknown here counts as
reading everything below it, so that a column is never called unread for want of understanding.
"""

# Ibis declares the fields of its nodes as attributes of the class, which a type checker takes for their values.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportGeneralTypeIssues=false
# pyright: reportOptionalMemberAccess=false

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import ibis.expr.operations as ops
from ibis import Table
from ibis.expr.operations.relations import AliasedRelation, Reference, Set, Simple
from ibis.expr.types import Expr

Reads = dict[str, set[str]]
"""Table name to the names of its columns that are read; a table of which only rows are counted has none."""


def columns_read(expression: Expr | Table) -> Reads:
    """The columns that an expression reads of every table that it stands on, by the tables' names in the engine."""
    found = _Following()
    node = expression.op()
    if isinstance(node, ops.Relation):
        found.want(node, node.schema.names)
    else:
        found.ask(node)
    found.follow()
    return dict(found.reads)


def merged(reads: Iterable[Mapping[str, Iterable[str]]]) -> Reads:
    """Several readings as one."""
    together: Reads = defaultdict(set)
    for one in reads:
        for name, columns in one.items():
            together[name] |= set(columns)
    return dict(together)


class _Following:
    """Columns wanted of each relation, followed down until nothing new is wanted."""

    def __init__(self) -> None:
        self.reads: Reads = defaultdict(set)
        self._wanted: dict[ops.Relation, set[str]] = {}
        self._queue: list[tuple[ops.Relation, frozenset[str], bool]] = []

    def want(self, relation: ops.Relation, names: Iterable[str] = ()) -> None:
        """Ask for columns of a relation; for none, its rows are still read."""
        first = relation not in self._wanted
        known = self._wanted.setdefault(relation, set())
        new = frozenset(names) - known
        if first or new:
            known |= new
            self._queue.append((relation, new, first))

    def ask(self, *values: Any) -> None:
        """Ask for all that values are made of."""
        stack, seen = list(values), set()
        while stack:
            node = stack.pop()
            if not isinstance(node, ops.Node) or node in seen:
                stack += node if isinstance(node, tuple | list) else ()
                continue
            seen.add(node)
            if isinstance(node, ops.Field):
                self.want(node.rel, [node.name])
            elif isinstance(node, ops.Subquery):
                self.want(node.rel, () if isinstance(node, ops.ExistsSubquery) else node.rel.schema.names)
                stack += [node.needle] if isinstance(node, ops.InSubquery) else []
            elif isinstance(node, ops.Relation):
                self.want(node)
            else:
                stack += node.__children__

    def follow(self) -> None:
        """Go down from what was asked for."""
        while self._queue:
            relation, names, first = self._queue.pop()
            self._down(relation, names, first)

    def _down(self, relation: Any, names: frozenset[str], first: bool) -> None:
        match relation:
            case AliasedRelation():
                self.want(relation.parent, relation.parent.schema.names)
            case ops.PhysicalTable():
                self.reads[relation.name] |= names
            case ops.Project():
                self.want(relation.parent)
                self.ask(*(relation.values[name] for name in names))
            case ops.JoinChain():
                self.want(relation.first)
                self.ask(*(relation.values[name] for name in names))
                for link in relation.rest:
                    self.want(link.table)
                    self.ask(*link.predicates)
            case ops.Aggregate():
                self.want(relation.parent)
                self.ask(*relation.groups.values())
                self.ask(*(relation.metrics[name] for name in names if name in relation.metrics))
            case ops.Filter():
                self.want(relation.parent, names)
                self.ask(*relation.predicates)
            case ops.Sort():
                self.want(relation.parent, names)
                self.ask(*relation.keys)
            case ops.Limit() | ops.Sample() | ops.DropColumns() | Reference():
                self.want(relation.parent, names)
            case ops.DropNull():
                subset = relation.subset
                self.want(relation.parent, names if subset is not None else relation.parent.schema.names)
                self.ask(*(subset or ()))
            case ops.Union() if not relation.distinct:
                self.want(relation.left, names)
                self.want(relation.right, names)
            case ops.Distinct() | Simple():
                self.want(relation.parent, relation.parent.schema.names)
                self.ask(*(getattr(relation, name) for name in relation.__argnames__))
            case Set():
                self.want(relation.left, relation.left.schema.names)
                self.want(relation.right, relation.right.schema.names)
            case ops.TableUnnest():
                self.want(relation.parent, names & set(relation.parent.schema.names))
                self.ask(relation.column)
            case ops.DummyTable():
                self.ask(*(relation.values[name] for name in names))
            case _ if first:
                for child in relation.__children__:
                    if isinstance(child, ops.Relation):
                        self.want(child, child.schema.names)
                    else:
                        self.ask(child)

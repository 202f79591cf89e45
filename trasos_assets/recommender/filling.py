"""Lists that are filled source by source: limits on brands and categories, pinned slots, ranks without gaps."""

# scipy's sparse matrices and numpy's overloads come without types that a checker could follow.
# pyright: reportOptionalSubscript=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from trasos_assets.contracts.serving import PINNED, SOURCES
from trasos_assets.recommender.ids import UNKNOWN_INDEX
from trasos_assets.recommender.shelf import Shelf


@dataclass(frozen=True, eq=False)
class Filled:
    """Flat lists sorted by person and rank: indices of people and items, place in ``SOURCES``, score (NaN: none)."""

    person: np.ndarray
    rank: np.ndarray
    item: np.ndarray
    source: np.ndarray
    score: np.ndarray


def pinned_for(shelf: Shelf, bought: sparse.csr_matrix, k: int) -> np.ndarray:
    """People x ``k``: the item pinned to each slot of the person's list, -1 where none may stand there."""
    pins = np.full((bought.shape[0], k), UNKNOWN_INDEX, np.int32)
    for slot, ids in shelf.rules.pinned.items():
        if slot > k:
            continue
        for item in shelf.known.to_indices(list(ids), unknown="drop"):
            if not shelf.shown[item]:
                continue
            had = np.asarray(bought[:, [item]].todense()).ravel().astype(bool)
            free = (pins[:, slot - 1] == UNKNOWN_INDEX) & ~had
            pins[free, slot - 1] = item
    return pins


class Lists:
    """The lists of some people while they are filled, ``k`` long at most.

    ``limited`` holds codes by item (-1: free) and how many items of one code a list may have; ``pins`` (people x k) the
    items of fixed slots, which count towards the limits.
    """

    def __init__(self, people: int, k: int, limited: Sequence[tuple[np.ndarray, int]], pins: np.ndarray) -> None:
        self.k, self.limited, self.pins = k, limited, pins
        self.room = k - (pins != UNKNOWN_INDEX).sum(axis=1)
        self.count = np.zeros(people, np.int64)
        self.item = np.full((people, k), UNKNOWN_INDEX, np.int32)
        self.source = np.zeros((people, k), np.int8)
        self.score = np.full((people, k), np.nan)

    @property
    def open(self) -> np.ndarray:
        """Whose list is not full."""
        return self.count < self.room

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Person and item of everything that is in a list, pinned items too."""
        both = np.concatenate([self.item, self.pins], axis=1)
        person, column = np.nonzero(both != UNKNOWN_INDEX)
        return person, both[person, column]

    def add(self, source: int, person: np.ndarray, item: np.ndarray, score: np.ndarray) -> None:
        """Take candidates (rows by person, best first; none that is in the person's list) as far as there is room."""
        if len(person) == 0:
            return
        starts = np.flatnonzero(np.concatenate([[True], person[1:] != person[:-1]]))
        lengths = np.diff(np.append(starts, len(person)))
        # By rank, all people at once: what a limit lets through depends on what was taken before.
        for nth in range(int(lengths.max())):
            at = starts[lengths > nth] + nth
            row, taken = person[at], item[at]
            fits = self.count[row] < self.room[row]
            if not fits.any():
                break
            for codes, most in self.limited:
                code = codes[taken]
                listed = self._codes(codes, row)
                fits &= (code < 0) | ((listed == code[:, None]).sum(axis=1) < most)
            row, place = row[fits], self.count[row[fits]]
            self.item[row, place] = taken[fits]
            self.source[row, place] = source
            self.score[row, place] = score[at[fits]]
            self.count[row] += 1

    def _codes(self, codes: np.ndarray, row: np.ndarray) -> np.ndarray:
        both = np.concatenate([self.item[row], self.pins[row]], axis=1)
        return np.where(both == UNKNOWN_INDEX, UNKNOWN_INDEX, codes[both])

    def placed(self) -> Filled:
        """Pinned items in their slots, the others around them in their order; what is pinned beyond a short list's end
        moves up to it."""
        people = len(self.count)
        pinned = self.pins != UNKNOWN_INDEX
        # The free slots of a person, in order; the j-th other item stands in the j-th of them.
        free = np.argsort(pinned, axis=1, kind="stable")
        slot = np.concatenate([free, np.broadcast_to(np.arange(self.k), (people, self.k))], axis=1)
        item = np.concatenate([self.item, np.where(pinned, self.pins, UNKNOWN_INDEX)], axis=1)
        source = np.concatenate([self.source, np.full((people, self.k), SOURCES.index(PINNED), np.int8)], axis=1)
        score = np.concatenate([self.score, np.full((people, self.k), np.nan)], axis=1)
        person, column = np.nonzero(item != UNKNOWN_INDEX)
        order = np.lexsort((slot[person, column], person))
        person, column = person[order], column[order]
        rank = np.arange(len(person)) - np.searchsorted(person, person) + 1
        return Filled(person, rank, item[person, column], source[person, column], score[person, column])

"""From sessions to events: what a visitor did in a session, step by step, with times that only go forward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trasos_assets.contracts.landing import EVENT_TYPES
from trasos_assets.landing.simulator.baskets import Lines
from trasos_assets.landing.simulator.config import DAY_MS, SimulationConfig
from trasos_assets.landing.simulator.events import COLUMNS, TYPE, Columns, joined, received_after
from trasos_assets.landing.simulator.people import LOGIN_AT_CHECKOUT, LOGIN_FIRST, People
from trasos_assets.landing.simulator.shop import Shop
from trasos_assets.landing.simulator.traffic import context_of

SLOTS = ("home", "product")
SLOT_WIDTH = 6

BOUNCE = 0.15
HOME = 0.7
MEAN_MORE_VIEWS = 6.0
MOST_VIEWS = 40
CARTS_VIEW = 0.05
REMOVES = 0.15
ABANDONS_AT_CHECKOUT = 0.25
SLOT_SHOWN = (0.5, 0.3)
SLOT_CLICKED = (0.15, 0.12)
BUYS_CLICKED = 0.4

# Places of steps within a session. A view owns a block of 32, the first begins at VIEWS.
_LOGIN_FIRST, _HOME, _HOME_SLOT, _VIEWS, _BLOCK = 0, 1, 10, 100, 32
_LIST_CLICK, _VIEW, _SCROLL, _SLOT, _ADD, _REMOVE = 0, 1, 2, 3, 12, 13
_LOGIN_CHECKOUT, _CHECKOUT, _PURCHASE = 4000, 4001, 4002
_SEQUENCE_BITS = 13

# Mean milliseconds before an event of each type (exponential), and the longest pause within a session.
_PAUSE = np.zeros(len(EVENT_TYPES))
for _name, _mean in (
    *(("page_view", 25_000), ("scroll", 8_000), ("click", 6_000), ("impression", 4), ("add_to_cart", 12_000)),
    *(("remove_from_cart", 9_000), ("checkout", 40_000), ("purchase", 30_000), ("login", 8_000)),
):
    _PAUSE[TYPE[_name]] = _mean
_LONGEST_PAUSE = 300_000
_CLOSING_MS = 15 * 60_000
_CANCEL_WITHIN = 7 * DAY_MS


@dataclass(frozen=True)
class Chunk:
    """Clean events of some sessions, with what the truth and the assignments need to know of them."""

    events: Columns
    started: np.ndarray  # milliseconds of each session's first event
    carted: np.ndarray  # sessions with an add_to_cart
    checked_out: np.ndarray
    viewed: np.ndarray  # sessions that viewed an item
    orders_with_clicked_item: int


def _part(session: np.ndarray, step: np.ndarray | int, type_: str, **columns: np.ndarray | int) -> Columns:
    whole = {"session": session, "step": step, "type": TYPE[type_], **columns}
    return {name: np.broadcast_to(value, session.shape) for name, value in whole.items()}


class Journeys:
    """Expands slices of the planned sessions; the same slice and seed give the same events."""

    def __init__(self, config: SimulationConfig, shop: Shop, people: People, lines: Lines) -> None:
        self.config, self.shop, self.people, self.lines = config, shop, people, lines

    def _slots(
        self,
        session: np.ndarray,
        treated: np.ndarray,
        home: np.ndarray,
        views: np.ndarray,
        taste: tuple[np.ndarray, np.ndarray, np.ndarray],
        wish: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[list[Columns], np.ndarray]:
        """Impressions of both slots, clicks on them and the views that follow; also who clicked what they bought.

        ``wish`` is the first product of the session's order, -1 for none.
        """
        parts, bought_clicked = [], np.zeros(len(session), dtype=bool)
        odds = 1 / np.arange(1, SLOT_WIDTH + 1)
        shelf = self.shop.by_category
        for slot, begin in enumerate((_HOME_SLOT, _VIEWS + _SLOT)):
            seen = treated & (home if slot == 0 else views > 0) & (rng.random(len(session)) < SLOT_SHOWN[slot])
            local = np.flatnonzero(seen)
            primary, secondary, _ = (part[local] for part in taste)
            group = np.where(rng.random(len(local)) < 0.7, primary, secondary)
            place = shelf.places(group, rng) - shelf.start[group]
            offset = (place[:, None] + np.arange(SLOT_WIDTH)) % shelf.size[group][:, None]
            items = shelf.order[shelf.start[group][:, None] + offset]

            clicked = np.flatnonzero((views[local] > 0) & (rng.random(len(local)) < SLOT_CLICKED[slot]))
            position = rng.choice(SLOT_WIDTH, size=len(clicked), p=odds / odds.sum())
            wanted = wish[local[clicked]]
            swap = (wanted >= 0) & (rng.random(len(clicked)) < BUYS_CLICKED)
            swap &= ~(items[clicked] == wanted[:, None]).any(axis=1)
            items[clicked[swap], position[swap]] = wanted[swap]
            chosen = items[clicked, position]
            bought_clicked[local[clicked[chosen == wanted]]] = True

            request = session[local] * len(SLOTS) + slot
            rank = np.tile(np.arange(SLOT_WIDTH), len(local))
            parts.append(
                _part(
                    np.repeat(local, SLOT_WIDTH),
                    begin + rank,
                    "impression",
                    item=items.ravel(),
                    request=np.repeat(request, SLOT_WIDTH),
                    slot=slot,
                    position=rank + 1,
                )
            )
            after = begin + SLOT_WIDTH
            parts.append(
                _part(
                    local[clicked],
                    after,
                    "click",
                    item=chosen,
                    request=request[clicked],
                    slot=slot,
                    position=position + 1,
                )
            )
            parts.append(_part(local[clicked], after + 1, "page_view", item=chosen))
        return parts, bought_clicked

    def _browsing(
        self,
        day: np.ndarray,
        views: np.ndarray,
        buys: np.ndarray,
        taste: tuple[np.ndarray, np.ndarray, np.ndarray],
        rng: np.random.Generator,
    ) -> tuple[list[Columns], np.ndarray, np.ndarray]:
        """Views with clicks, scrolls and carts; sessions that carted, and those that left something in the cart."""
        local = np.repeat(np.arange(len(views)), views)
        block = _VIEWS + _BLOCK * (np.arange(len(local)) - np.repeat(np.cumsum(views) - views, views))
        primary, secondary, brand = (part[local] for part in taste)
        item = self.shop.draw(primary, secondary, brand, rng)
        listed, scrolled, carted, removed = rng.random((4, len(local)))
        adds = (carted < CARTS_VIEW) & self.shop.available[day[local], item]
        # What a buyer carts and does not buy is taken out again, so a basket is what was left in the cart.
        removes = adds & (buys[local] | (removed < REMOVES))
        parts = [_part(local, block + _VIEW, "page_view", item=item)]
        for hit, step, type_, more in (
            (listed < 0.3, _LIST_CLICK, "click", {}),
            (scrolled < 0.1, _SCROLL, "scroll", {}),
            (adds, _ADD, "add_to_cart", {"quantity": 1}),
            (removes, _REMOVE, "remove_from_cart", {"quantity": 1}),
        ):
            parts.append(_part(local[hit], block[hit] + step, type_, item=item[hit], **more))
        carts = np.bincount(local[adds], minlength=len(views)) > 0
        left = np.bincount(local[adds & ~removes], minlength=len(views)) > 0
        return parts, carts, left

    def _buying(
        self, order: np.ndarray, first_line: int, end_line: int, views: np.ndarray
    ) -> tuple[list[Columns], np.ndarray]:
        """Views, carts and paid lines of the orders; also each line's session."""
        rows = slice(first_line, end_line)
        line_order, item, quantity = self.lines.order[rows], self.lines.item[rows], self.lines.quantity[rows]
        with_order = np.flatnonzero(order >= 0)
        local = with_order[np.searchsorted(order[with_order], line_order)]
        rank = np.arange(first_line, end_line) - self.lines.start[line_order]
        product = item != self.shop.service
        block = (_VIEWS + _BLOCK * (views[local] + rank))[product]
        return [
            _part(local[product], block + _VIEW, "page_view", item=item[product]),
            _part(local[product], block + _ADD, "add_to_cart", item=item[product], quantity=quantity[product]),
            _part(
                local,
                _PURCHASE + rank,
                "purchase",
                item=item,
                quantity=quantity,
                price=self.lines.price[rows],
                order=line_order,
            ),
        ], local

    def expand(self, begin: int, end: int, part: int, first_number: int) -> Chunk:
        """Events of the sessions ``begin`` to ``end``, numbered from ``first_number``, cancellations last."""
        rng = self.config.stream("journeys", part)
        sessions, visitors = self.people.sessions, self.people.visitors
        rows = slice(begin, end)
        count = end - begin
        index = np.arange(begin, end)
        visitor, day, order, login = (getattr(sessions, name)[rows] for name in ("visitor", "day", "order", "login"))
        taste = (visitors.primary[visitor], visitors.secondary[visitor], visitors.brand[visitor])
        buys = order >= 0
        bought = order[buys]
        first_line = int(self.lines.start[bought[0]]) if len(bought) else 0
        end_line = int(self.lines.start[bought[-1] + 1]) if len(bought) else 0
        wish = np.full(count, -1)
        wish[buys] = self.lines.item[self.lines.start[bought]]  # the service sorts last, so this is a product

        bounces = ~buys & (rng.random(count) < BOUNCE)
        home = bounces | (rng.random(count) < HOME)
        more_views = rng.geometric(1 / (1 + MEAN_MORE_VIEWS), count)
        views = np.where(bounces, 0, np.minimum(more_views, MOST_VIEWS))
        browsing, carts, left = self._browsing(day, views, buys, taste, rng)
        slots, clicked_bought = self._slots(index, ~visitors.holdout[visitor], home, views, taste, wish, rng)
        buying, _ = self._buying(order, first_line, end_line, views)
        abandons = left & ~buys & (rng.random(count) < ABANDONS_AT_CHECKOUT)
        parts = [
            _part(np.flatnonzero(login == LOGIN_FIRST), _LOGIN_FIRST, "login"),
            _part(np.flatnonzero(home), _HOME, "page_view"),
            *browsing,
            *slots,
            *buying,
            _part(np.flatnonzero(login == LOGIN_AT_CHECKOUT), _LOGIN_CHECKOUT, "login"),
            _part(np.flatnonzero(buys | abandons), _CHECKOUT, "checkout"),
        ]
        names = ("session", "step", "type", "item", "quantity", "price", "order", "request", "slot", "position")
        raw = joined(parts, names)
        by_step = np.argsort((raw["session"] << _SEQUENCE_BITS) | raw["step"], kind="stable")
        raw = {name: column[by_step] for name, column in raw.items()}
        local, step = raw["session"], raw["step"]

        first = np.concatenate(([True], local[1:] != local[:-1]))
        pause = 1 + np.minimum(rng.exponential(1.0, len(local)) * _PAUSE[raw["type"]], _LONGEST_PAUSE).astype(np.int64)
        pause[step > _PURCHASE] = 1  # lines of one order are paid together
        pause[first] = 0
        elapsed = np.cumsum(pause)
        heads = np.flatnonzero(first)
        elapsed -= np.repeat(elapsed[heads], np.diff(np.append(heads, len(local))))
        lasts = np.append(heads[1:], len(local)) - 1
        started = day * DAY_MS + sessions.start_ms[rows]
        closes = (day + 1) * DAY_MS - _CLOSING_MS - elapsed[lasts]
        # An order stays on its planned day, and nothing happens or is received after the last day.
        bound = buys | (day == self.config.days - 1)
        started = np.where(bound, np.maximum(np.minimum(started, closes), day * DAY_MS), started)

        occurred = started[local] + elapsed
        knows = (login[local] == LOGIN_FIRST) | ((login[local] == LOGIN_AT_CHECKOUT) & (step >= _LOGIN_CHECKOUT))
        context = context_of(sessions.campaign[rows], visitors.agent[visitor], visitors.country[visitor])
        events = {
            **{name: raw[name] for name in names if name != "step"},
            "session": index[local],
            "occurred": occurred,
            "visitor": visitor[local],
            "customer": np.where(knows, sessions.customer[rows][local], -1),
            "context": context[local],
        }
        cancellations = self._cancellations(events, rng)
        events = joined([events, cancellations], COLUMNS)
        events["number"] = first_number + np.arange(len(events["type"]))
        events["received"] = received_after(events["occurred"], rng)
        return Chunk(
            events=events,
            started=started,
            carted=carts | buys,
            checked_out=buys | abandons,
            viewed=views > 0,
            orders_with_clicked_item=int((clicked_bought & buys).sum()),
        )

    def _cancellations(self, events: Columns, rng: np.random.Generator) -> Columns:
        """One event for every paid line that is cancelled: within a week, and within the window."""
        paid = np.flatnonzero(events["type"] == TYPE["purchase"])
        first_line = self.lines.start[events["order"][paid[0]]] if len(paid) else 0
        # Purchases come in the order of sessions and ranks, as the lines do.
        rows = slice(first_line, first_line + len(paid))
        hit = self.lines.cancelled[rows]
        paid = paid[hit]
        begin = events["occurred"][paid] + 60_000
        end = np.minimum(begin + _CANCEL_WITHIN, self.config.end_ms - 120_000)
        when = begin + (self.lines.cancel_at[rows][hit] * (end - begin)).astype(np.int64)
        kept = ("visitor", "customer", "item", "quantity", "price", "order")
        return {
            **{name: events[name][paid] for name in kept},
            "type": np.full(len(paid), TYPE["cancellation"]),
            "occurred": when,
        }

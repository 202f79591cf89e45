"""The shop's shelf: products with categories, brands, seasons, prices and popularity, and pairs bought together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trasos_assets.landing.simulator.config import SimulationConfig

# Category: share of demand, median price in pence, noun of the product name.
CATEGORIES: tuple[tuple[str, float, int, str], ...] = (
    ("dresses", 0.18, 5900, "dress"),
    ("tops", 0.16, 2900, "top"),
    ("knitwear", 0.11, 4900, "jumper"),
    ("jeans", 0.11, 6500, "jeans"),
    ("trousers", 0.08, 5200, "trousers"),
    ("jackets", 0.08, 9900, "jacket"),
    ("shoes", 0.13, 7900, "shoes"),
    ("bags", 0.07, 6900, "bag"),
    ("accessories", 0.08, 1900, "scarf"),
)
BRANDS = (
    *("Alderwren", "Bramblecote", "Cinder Row", "Dovemill", "Elmhurst", "Fennimore", "Greyfold", "Hollin"),
    *("Ivelet", "Juniper Lane", "Kestrelby", "Larkstone"),
)
SEASONS = ("all year", "spring", "summer", "autumn", "winter")
MATERIALS = ("linen", "cotton", "merino", "denim", "silk", "velvet", "jersey", "recycled")
COLOURS = ("ivory", "navy", "olive", "rust", "black", "sand", "plum", "sky", "charcoal")

SERVICE_ID = "express-delivery"
SERVICE_PENCE = 495
LOT = 60


@dataclass(frozen=True)
class Shelf:
    """Items in groups, drawn in proportion to popularity: one binary search a draw, whatever the group."""

    order: np.ndarray  # items, group by group, most popular first
    start: np.ndarray  # first place of each group in ``order``
    size: np.ndarray  # items of each group
    cumulative: np.ndarray  # popularity up to each place, from 0; length items + 1

    @staticmethod
    def by(group: np.ndarray, groups: int, popularity: np.ndarray) -> Shelf:
        """Group items by ``group`` (int, one per item)."""
        order = np.lexsort((-popularity, group))
        size = np.bincount(group, minlength=groups)
        return Shelf(order, np.cumsum(size) - size, size, np.concatenate(([0.0], np.cumsum(popularity[order]))))

    def places(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One place in ``order`` for each group asked for."""
        first = self.start[groups]
        last = first + self.size[groups]
        low, high = self.cumulative[first], self.cumulative[last]
        at = np.searchsorted(self.cumulative, low + rng.random(len(groups)) * (high - low), side="right") - 1
        return np.clip(at, first, last - 1)

    def draw(self, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One item for each group asked for."""
        return self.order[self.places(groups, rng)]


@dataclass(frozen=True)
class Shop:
    """Products 0..items-1 and one service, whose index is ``items``; prices in pence by day and item."""

    item_ids: np.ndarray
    names: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    season: np.ndarray
    prices: np.ndarray  # days x (items + 1), pence
    available: np.ndarray  # days x (items + 1), bool
    substitute: np.ndarray  # an item of the same category that never sells out
    pairs: np.ndarray  # pairs x 2: whoever buys the first is led to buy the second in the same order
    partner: np.ndarray  # the second of a pair for the first, else -1
    by_category: Shelf
    by_brand: Shelf

    @property
    def service(self) -> int:
        """Index of the service item."""
        return len(self.item_ids) - 1

    def draw(
        self, primary: np.ndarray, secondary: np.ndarray, brand: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One item a row by the row's taste: half from the favourite category, the rest second, brand, anything."""
        kind = rng.random(len(primary))
        anything = rng.choice(len(CATEGORIES), size=len(primary), p=self.category_demand)
        group = np.where(kind < 0.5, primary, np.where(kind < 0.7, secondary, anything))
        items = self.by_category.draw(group, rng)
        branded = np.flatnonzero((kind >= 0.7) & (kind < 0.85))
        items[branded] = self.by_brand.draw(brand[branded], rng)
        return items

    @property
    def category_demand(self) -> np.ndarray:
        """Share of demand by category."""
        return np.array([share for _, share, _, _ in CATEGORIES])

    def buyable(self, day: np.ndarray, item: np.ndarray) -> np.ndarray:
        """The item, or its substitute where it is sold out on that day."""
        return np.where(self.available[day, item], item, self.substitute[item])


def _sold_out(config: SimulationConfig, spared: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Days x items: one spell of 2 to 6 days for a tenth of the items that are not spared, never on the first day."""
    out = np.zeros((config.days, config.items), dtype=bool)
    hit = np.flatnonzero((rng.random(config.items) < 0.1) & ~spared)
    begin = rng.integers(1, max(config.days, 2), len(hit))
    length = rng.integers(2, 7, len(hit))
    day = np.arange(config.days)[:, None]
    out[:, hit] = (day >= begin) & (day < begin + length)
    return out


def open_shop(config: SimulationConfig) -> Shop:
    """Products, prices and spells of being sold out, for the whole window."""
    rng = config.stream("shop")
    n = config.items
    demand = np.array([share for _, share, _, _ in CATEGORIES])
    # Every category first gets eight products, so that a list of six different ones exists in each.
    category = np.concatenate(
        (np.repeat(np.arange(len(CATEGORIES)), 8), rng.choice(len(CATEGORIES), size=n - 8 * len(CATEGORIES), p=demand))
    )
    rng.shuffle(category)
    brand = rng.permutation(np.arange(n) % len(BRANDS))
    popularity = (rng.permutation(n) + 10.0) ** -0.8
    by_category = Shelf.by(category, len(CATEGORIES), popularity)
    by_brand = Shelf.by(brand, len(BRANDS), popularity)

    pairs_wanted = max(4, n // 80)
    popular = rng.permutation(np.argsort(-popularity, kind="stable")[: max(8, n // 10)])[: 2 * pairs_wanted]
    # Halves of the category order make pairs across categories, where taste alone explains least.
    popular = popular[np.argsort(category[popular], kind="stable")]
    pairs = np.column_stack((popular[:pairs_wanted], popular[pairs_wanted:]))
    partner = np.full(n + 1, -1)
    partner[pairs[:, 0]] = pairs[:, 1]

    best = by_category.order[by_category.start]
    spared = np.zeros(n, dtype=bool)
    spared[pairs.ravel()] = True
    spared[best] = True
    available = np.ones((config.days, n + 1), dtype=bool)
    available[:, :n] = ~_sold_out(config, spared, rng)

    median = np.array([pence for _, _, pence, _ in CATEGORIES])
    full = np.rint(median[category] * np.exp(rng.normal(0, 0.35, n)) / 100) * 100 + 99
    sale_begin = np.where(rng.random(n) < 0.15, rng.integers(1, max(config.days, 2), n), config.days)
    reduced = np.rint(full * (1 - rng.choice((0.2, 0.3, 0.5), n)))
    prices = np.empty((config.days, n + 1), dtype=np.int64)
    prices[:, :n] = np.where(np.arange(config.days)[:, None] >= sale_begin, reduced, full)
    prices[:, n] = SERVICE_PENCE

    nouns = np.array([noun for *_, noun in CATEGORIES])
    words = (np.array(BRANDS)[brand], rng.choice(COLOURS, n), rng.choice(MATERIALS, n), nouns[category])
    names = words[0]
    for word in words[1:]:
        names = np.char.add(np.char.add(names, " "), word)
    ids = np.char.add("i", np.char.zfill((10_000 + np.arange(n)).astype(str), 5))
    return Shop(
        item_ids=np.append(ids, SERVICE_ID),
        names=np.append(names, "Express delivery"),
        category=category,
        brand=brand,
        season=rng.choice(len(SEASONS), size=n, p=(0.4, 0.15, 0.15, 0.15, 0.15)),
        prices=prices,
        available=available,
        substitute=np.append(best[category], n),
        pairs=pairs,
        partner=partner,
        by_category=by_category,
        by_brand=by_brand,
    )


def stock_by_day(shop: Shop, sold: np.ndarray) -> np.ndarray:
    """Pieces at the start of each day, days x items: sales leave the shelf, a low shelf is refilled overnight.

    ``sold`` is days x items. A sold-out spell shows 0; on every other day there is at least what will be sold.
    """
    stock = np.empty_like(sold)
    shelf = np.full(sold.shape[1], 2 * LOT)
    for day in range(len(sold)):
        shelf = np.where(shelf <= sold[day], sold[day] + LOT, shelf)
        shelf = np.where(shop.available[day, :-1], shelf, 0)
        stock[day] = shelf
        shelf = shelf - sold[day]
    return stock

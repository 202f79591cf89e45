"""What every order holds and what of it is cancelled later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trasos_assets.landing.simulator.config import SimulationConfig
from trasos_assets.landing.simulator.people import People
from trasos_assets.landing.simulator.shop import Shop

MORE_PRODUCTS = 1.4
MOST_PRODUCTS = 7
TWO_PIECES = 0.08
EXPRESS = 0.15


@dataclass(frozen=True)
class Lines:
    """One row an order line, sorted by order; an item stands once in an order. Money in pence."""

    order: np.ndarray
    item: np.ndarray
    quantity: np.ndarray
    price: np.ndarray
    cancelled: np.ndarray
    cancel_at: np.ndarray  # 0..1: where in the time left for it the cancellation comes, one value an order
    start: np.ndarray  # first line of each order, orders + 1 long

    @property
    def amount(self) -> np.ndarray:
        """Pence paid for each line."""
        return self.quantity * self.price


def fill_baskets(config: SimulationConfig, shop: Shop, people: People) -> Lines:
    """Products by taste and availability, partners of planted pairs, a delivery service now and then."""
    rng = config.stream("orders")
    visitors, sessions, orders = people.visitors, people.sessions, people.orders
    visitor, day = sessions.visitor[orders.session], sessions.day[orders.session]
    count = len(visitor)
    stride = len(shop.item_ids)

    products = np.minimum(1 + rng.poisson(MORE_PRODUCTS, count), MOST_PRODUCTS)
    order = np.repeat(np.arange(count), products)
    buyer = visitor[order]
    item = shop.draw(visitors.primary[buyer], visitors.secondary[buyer], visitors.brand[buyer], rng)
    keys = np.unique(order * stride + shop.buyable(day[order], item))

    anchors = keys[shop.partner[keys % stride] >= 0]
    led = anchors[rng.random(len(anchors)) < config.affinity_probability]
    express = np.flatnonzero(rng.random(count) < EXPRESS)
    keys = np.unique(
        np.concatenate(
            (
                keys,
                led // stride * stride + shop.partner[led % stride],
                express * stride + shop.service,
            )
        )
    )
    order, item = keys // stride, keys % stride
    product = item != shop.service
    quantity = np.where(product & (rng.random(len(keys)) < TWO_PIECES), 2, 1)
    start = np.concatenate(([0], np.cumsum(np.bincount(order, minlength=count))))

    in_part = orders.valid & (np.diff(start) >= 2) & (rng.random(count) < config.part_cancellation_share)
    # A service sorts last in its order, so a line before the last of two or more is always a product.
    one_line = start[:-1] + (rng.random(count) * np.maximum(np.diff(start) - 1, 1)).astype(np.int64)
    cancelled = ~orders.valid[order]
    cancelled[one_line[in_part]] = True
    return Lines(
        order=order,
        item=item,
        quantity=quantity,
        price=shop.prices[day[order], item],
        cancelled=cancelled,
        cancel_at=rng.random(count)[order],
        start=start,
    )

"""The simulation from end to end: plan, then events a few days at a time, then the truth."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from trasos_assets.landing.simulator.baskets import Lines, fill_baskets
from trasos_assets.landing.simulator.config import DAY_MS, SimulationConfig
from trasos_assets.landing.simulator.dirt import plan_robots, robot_events, soil
from trasos_assets.landing.simulator.events import COLUMNS, Columns, joined
from trasos_assets.landing.simulator.journeys import Journeys
from trasos_assets.landing.simulator.people import People, plan_people
from trasos_assets.landing.simulator.shop import BRANDS, CATEGORIES, SEASONS, Shop, open_shop, stock_by_day
from trasos_assets.landing.simulator.tally import Tally
from trasos_assets.landing.simulator.traffic import CAMPAIGNS, CHANNELS
from trasos_assets.landing.simulator.truth import (
    ARMS,
    DEFINITIONS,
    EXPERIMENT,
    Truth,
    dirt_truth,
    plan_truth,
    planted_truth,
)
from trasos_assets.landing.simulator.writer import FILE_NAMES, LandingWriter
from trasos_assets.places import make_folder

Progress = Callable[[str, int, int], None]

SESSIONS_A_CHUNK = 10_000
ITEM_DAYS_A_CHUNK = 250_000
TRUTH_FILE = "truth.json"


def _refuse_other_landing(config: SimulationConfig, out: Path) -> None:
    """Two simulations in one folder would be a shop that never was; the same one again is the same bytes."""
    truth = out / TRUTH_FILE
    landed = [out / dataset for dataset in FILE_NAMES if any((out / dataset).glob("dt=*"))]
    if landed and not (truth.is_file() and Truth.read(truth).config == config.as_dict()):
        raise FileExistsError(
            f"{landed[0]} already holds other landing files; give --out an empty folder, or remove {out} first"
        )


def _chunks(config: SimulationConfig, people: People) -> Iterator[tuple[int, int]]:
    """Runs of whole days (from, to) with at least so many sessions; the last one may be smaller."""
    sessions = np.bincount(people.sessions.day, minlength=config.days)
    begin = held = 0
    for day, count in enumerate(sessions.tolist(), start=1):
        held += count
        if held >= SESSIONS_A_CHUNK or day == config.days:
            yield begin, day
            begin, held = day, 0


def _land_catalogue(config: SimulationConfig, shop: Shop, people: People, lines: Lines, writer: LandingWriter) -> None:
    """All items on the first day, later only those whose price, stock or availability changed."""
    products = config.items
    day = people.sessions.day[people.orders.session][lines.order]
    product = lines.item < products
    cells = day[product] * products + lines.item[product]
    sold = np.bincount(cells, weights=lines.quantity[product], minlength=config.days * products)
    stock = stock_by_day(shop, sold.astype(np.int64).reshape(config.days, products))
    stock = np.column_stack((stock, np.full(config.days, -1)))  # a service has no stock
    changed = np.ones(stock.shape, dtype=bool)
    for state in (stock, shop.prices, shop.available):
        changed[1:] = changed[1:] & (state[1:] == state[:-1])
    changed[1:] = ~changed[1:]
    days, items = np.nonzero(changed)
    category, brand, season = (np.append(codes, -1) for codes in (shop.category, shop.brand, shop.season))
    texts = (
        ("category", category, [name for name, *_ in CATEGORIES]),
        ("brand", brand, list(BRANDS)),
        ("season", season, list(SEASONS)),
    )
    starts = np.searchsorted(days, np.arange(0, config.days, max(1, ITEM_DAYS_A_CHUNK // (products + 1))))
    for begin, end in itertools.pairwise([*starts.tolist(), len(days)]):
        at, item = days[begin:end], items[begin:end]
        writer.catalogue(
            at,
            {
                "item": pa.array(shop.item_ids[item].tolist(), pa.string()),
                "name": pa.array(shop.names[item].tolist(), pa.string()),
                "kind": pa.array(np.where(item < products, "product", "service").tolist(), pa.string()),
                **{
                    name: pa.array(np.array(words, dtype=object)[codes[item]], mask=codes[item] < 0)
                    for name, codes, words in texts
                },
                "pence": shop.prices[at, item],
                "stock": pa.array(stock[at, item], mask=stock[at, item] < 0),
                "available": shop.available[at, item],
            },
        )


def _land_spend(config: SimulationConfig, people: People, writer: LandingWriter) -> np.ndarray:
    """Cost of every paid campaign on every day, near its price a click; returns days x campaigns in pence."""
    rng = config.stream("spend")
    count = len(CAMPAIGNS)
    cells = people.sessions.day * count + people.sessions.campaign
    sessions = np.bincount(cells, minlength=config.days * count).reshape(config.days, count)
    price = np.array([pence for *_, pence in CAMPAIGNS])
    clicks = np.rint(sessions * rng.uniform(1.0, 1.1, sessions.shape)).astype(np.int64)
    pence = np.rint(clicks * price * np.exp(rng.normal(0, 0.1, sessions.shape))).astype(np.int64)
    paid = np.flatnonzero(price > 0)
    day, campaign = np.repeat(np.arange(config.days), len(paid)), np.tile(paid, config.days)
    writer.spend(
        day,
        {
            "channel": pa.array([CHANNELS[CAMPAIGNS[code][0]] for code in paid.tolist()] * config.days),
            "campaign": pa.array([CAMPAIGNS[code][1] for code in paid.tolist()] * config.days),
            "pence": pence[day, campaign],
            "clicks": clicks[day, campaign],
        },
    )
    return pence


def _land_events(
    config: SimulationConfig,
    shop: Shop,
    people: People,
    lines: Lines,
    writer: LandingWriter,
    progress: Progress | None,
) -> tuple[Tally, Counter[str]]:
    """Events and assignments, chunk by chunk; what lands after a chunk's days waits for its own."""
    journeys = Journeys(config, shop, people, lines)
    robots = plan_robots(config)
    tally, dirt = Tally.empty(config), Counter()
    sessions = people.sessions
    waiting: Columns = joined([], COLUMNS)
    number = 1
    for part, (begin_day, end_day) in enumerate(_chunks(config, people)):
        begin, end = np.searchsorted(sessions.day, (begin_day, end_day)).tolist()
        chunk = journeys.expand(begin, end, part, number)
        number += len(chunk.events["type"])
        tally.add(people, chunk, sessions.order[begin:end] >= 0, end_day)

        rng = config.stream("dirt", part)
        soiled, counts, number = soil(config, chunk.events, number, len(shop.item_ids), rng)
        dirt.update(counts)
        days = (begin_day, end_day)
        strangers, counts, number = robot_events(config, shop, people, robots, days, number, rng)
        dirt.update(counts)

        every = joined([waiting, soiled, strangers], COLUMNS)
        lands = every["received"] < end_day * DAY_MS
        waiting = {name: column[~lands] for name, column in every.items()}
        landing = np.flatnonzero(lands)
        landing = landing[np.argsort(every["received"][landing], kind="stable")]
        writer.events({name: column[landing] for name, column in every.items()}, every["received"][landing] // DAY_MS)
        first = sessions.first[begin:end]
        visitor = sessions.visitor[begin:end][first]
        arm = [ARMS[0] if holdout else ARMS[1] for holdout in people.visitors.holdout[visitor].tolist()]
        writer.assignments(EXPERIMENT, visitor, arm, chunk.started[first])
        if progress is not None:
            progress("simulating days", end_day, config.days)
    if len(waiting["type"]):
        raise AssertionError(f"{len(waiting['type'])} events would land after the last day")
    return tally, dirt


def simulate(config: SimulationConfig, out: Path, progress: Progress | None = None, *, threads: int = 0) -> Truth:
    """Write landing files and ``truth.json`` below ``out``, which is the landing folder itself.

    The same configuration gives the same bytes, whatever the number of threads (0: every core). ``progress`` is called
    with what is being done, how many days are done and how many there are.

    Raises:
        FileExistsError: ``out`` holds landing files of anything but this very simulation.
    """
    _refuse_other_landing(config, out)
    if progress is not None:
        progress("planning people and orders", 0, config.days)
    shop = open_shop(config)
    people = plan_people(config)
    lines = fill_baskets(config, shop, people)
    make_folder(out)
    with LandingWriter(config, shop.item_ids, out, threads) as writer:
        _land_catalogue(config, shop, people, lines, writer)
        spend = _land_spend(config, people, writer)
        tally, dirt = _land_events(config, shop, people, lines, writer, progress)
    truth = Truth(
        config=config.as_dict(),
        planted=planted_truth(config, shop),
        realised={**plan_truth(config, shop, people, lines, spend), **tally.realised(config)},
        dirt=dirt_truth(config, people, dirt),
        lines=dict(writer.lines),
        definitions=DEFINITIONS,
    )
    truth.write(out / TRUTH_FILE)
    return truth

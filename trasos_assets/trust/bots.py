"""Rules that mark traffic as made by machines. Marked events are kept and left out downstream."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

from trasos_assets.contracts.engineering import BOT_RULES
from trasos_assets.trust.identity import actor

# The order in which the rules are tried: an event bears the first that applies.
KNOWN_AGENT, EVENT_RATE, EVENT_BURST, BREADTH = BOT_RULES

# Cubot makes telephones.
KNOWN_AGENTS = (
    r"(?i)((^|[^u]|(^|[^c])u)bot|crawl|spider|slurp|curl/|wget/|python-requests|python-urllib|headlesschrome|phantomjs"
    r"|scrapy|libwww|httpclient|go-http-client)"
)

UNPACED = ("impression", "purchase", "cancellation")
"""Events that say nothing of their visitor's pace: one page shows fifty impressions, one order has a thousand lines."""

LOOKS = ("page_view", "click")
INTENT = ("add_to_cart", "remove_from_cart", "checkout", "purchase", "cancellation", "login")


def with_bot_rule(events: ibis.Table, *, events_per_day: int, events_per_minute: int, items_per_day: int) -> ibis.Table:
    """Add ``bot_rule``, the name of the first rule that marks an event as a machine's; null for people.

    Args:
        events: rows with ``day``, ``occurred_at``, ``event_type``, ``item_id``, ``user_agent`` and who acted.
        events_per_day: more on a day is ``event_rate``.
        events_per_minute: more within one minute of the clock is ``event_burst``.
        items_per_day: more different items on a day, and nothing but looks, is ``breadth``.

    ``known_agent`` marks the events whose client names itself a machine. The other rules judge an actor
    (`identity.actor`) by all its events of one day and mark all of them, so a late event restates no other day:

    - ``event_rate`` and ``event_burst`` count what a visitor does one at a time: no impressions, which the shop shows,
      and no lines of orders, of which a wholesaler pays for hundreds at once.
    - ``breadth`` is the crawler that keeps an even, human pace under a browser's name: it views or clicks more items
      than a person looks at in a day and yet never logs in, is no known customer, and puts nothing in a cart. Whoever
      does one of these has a reason to look at so much, and is left to the other two rules.
    """
    slim = events.select("day", "occurred_at", "event_type", "item_id", "customer_id", actor=actor(events))
    paced = slim.filter(slim.event_type.notin(UNPACED))
    counted = paced.group_by("day", "actor").agg(events=paced.count())
    # No rule can hold for whoever did less than the least of the thresholds: nearly everybody.
    busy = counted.filter(counted.events > min(events_per_day, events_per_minute, items_per_day))
    marks = _marks(slim, busy, events_per_day, events_per_minute, items_per_day)
    keyed = events.mutate(actor=actor(events))
    joined = keyed.left_join(marks, ["day", "actor"])
    # Few clients send most of the events: each is looked at once.
    agents = events.select("user_agent").distinct()
    machines = agents.filter(agents.user_agent.re_search(KNOWN_AGENTS)).select(machine="user_agent")
    told = joined.left_join(machines, joined.user_agent == machines.machine)
    rule = ibis.ifelse(told.machine.notnull(), KNOWN_AGENT, told.mark)
    return told.mutate(bot_rule=rule).select(*events.columns, "bot_rule")


def _marks(
    slim: ibis.Table, busy: ibis.Table, events_per_day: int, events_per_minute: int, items_per_day: int
) -> ibis.Table:
    """``day``, ``actor`` and ``mark`` of the busy ones that a rule holds for."""
    who = ["day", "actor"]
    theirs = slim.semi_join(busy, who)
    looked = theirs.event_type.isin(LOOKS)
    habits = theirs.group_by(who).agg(
        items=theirs.item_id.nunique(where=looked),
        means_it=(theirs.event_type.isin(INTENT) | theirs.customer_id.notnull()).max(),
    )
    paced = theirs.filter(theirs.event_type.notin(UNPACED))
    minutes = paced.group_by(*who, minute=paced.occurred_at.truncate("m")).agg(events=paced.count())
    peaks = minutes.group_by(who).agg(peak=minutes.events.max())
    judged = busy.join(habits, who).join(peaks, who)
    marked = judged.mutate(
        mark=ibis.cases(
            (judged.events > events_per_day, EVENT_RATE),
            (judged.peak > events_per_minute, EVENT_BURST),
            ((judged.items > items_per_day) & ~judged.means_it, BREADTH),
            else_=ibis.null("string"),
        )
    )
    return marked.filter(marked.mark.notnull()).select(*who, "mark")


def people_only(events: ibis.Table) -> ibis.Table:
    """Events of people: no bots, no testers."""
    return events.filter(events.bot_rule.isnull() & ~events.is_test.fill_null(False))


def bot_quality(clean_events: ibis.Table, planted: ibis.Table) -> ibis.Table:
    """How well the rules find bots that are known to be such, by events.

    Args:
        clean_events: marked events.
        planted: who the bots are: ``visitor_id`` (unique) and ``rule``, the rule that should find them.

    Returns:
        A row a ``rule``, and one for ``all``: ``planted_events`` of the bots meant for the rule and how many of them
        are marked, by whichever rule (``found_events``); ``marked_events`` that bear the rule's name and how many of
        them are of any bot (``right_events``). ``recall`` = found / planted, ``precision`` = right / marked, null where
        there is nothing to divide by.
    """
    is_bot = planted.rename(bot="visitor_id", meant="rule")
    events = clean_events.select("visitor_id", "bot_rule").left_join(is_bot, clean_events.visitor_id == is_bot.bot)

    def counted(by: str, columns: dict[str, ibis.Value]) -> ibis.Table:
        named = events.filter(events[by].notnull())
        each, whole = named.group_by(rule=named[by]).agg(**columns), named.agg(**columns)
        return each.union(whole.select(rule=ibis.literal("all"), **{name: whole[name] for name in columns}))

    of_bots = counted("meant", {"planted_events": ibis._.count(), "found_events": ibis._.bot_rule.count()})
    of_rules = counted("bot_rule", {"marked_events": ibis._.count(), "right_events": ibis._.meant.count()})
    both = of_bots.outer_join(of_rules, "rule")
    counts = {name: both[name].fill_null(0) for name in both.columns if name.endswith("_events")}
    quality = both.select(rule=ibis.coalesce(both.rule, both.rule_right), **counts)
    return quality.mutate(
        precision=quality.right_events / quality.marked_events.nullif(0),
        recall=quality.found_events / quality.planted_events.nullif(0),
    ).order_by("rule")

"""A Dagster logger that tells a listener which step runs, for a progress bar instead of a wall of events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

Listener = Callable[[str, str], None]
_listeners: list[Listener] = []
_TOLD = {"STEP_START", "STEP_SUCCESS", "STEP_FAILURE", "STEP_SKIPPED"}


class _Teller(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_event", None)
        if event is None:
            event = (getattr(record, "dagster_meta", None) or {}).get("dagster_event")
        if event is not None and event.event_type_value in _TOLD and event.step_key:
            for listener in _listeners:
                listener(event.event_type_value, event.step_key)
        elif event is None and record.levelno >= logging.WARNING:
            for listener in _listeners:
                listener("MESSAGE", record.getMessage())


@dg.logger(config_schema={}, description="Tells `trasos run` which step runs.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """A logger whose only handler passes step events to the listener of ``listening``."""
    made = logging.Logger("trasos.progress", level=logging.DEBUG)
    made.addHandler(_Teller())
    return made


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Pass step events (event type, step name) and warnings (MESSAGE, text) to a listener while inside."""
    if listener is None:
        yield
        return
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)

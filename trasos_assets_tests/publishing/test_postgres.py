import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts.model import INT64, Column
from trasos_assets.publishing.files import Published, PublishError, publish_files
from trasos_assets.publishing.postgres import publish_postgres
from trasos_assets_tests.publishing import postgres_server
from trasos_assets_tests.publishing.lists import FIRST, SERVED, tables_of

pytestmark = pytest.mark.skipif(postgres_server.why_not() is not None, reason=postgres_server.why_not() or "")
SCHEMA = "shop"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_server.server() as dsn:
        yield dsn


@pytest.fixture
def dsn(server: str) -> Iterator[str]:
    """A database without anything published."""
    psycopg = pytest.importorskip("psycopg")
    yield server
    with psycopg.connect(server, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN "
            "('public', 'information_schema') ORDER BY nspname = 'shop' DESC"
        ).fetchall()
        for (name,) in rows:
            connection.execute(psycopg.sql.SQL("DROP SCHEMA {} CASCADE").format(psycopg.sql.Identifier(name)))


def version(tmp_path: Path, number: int, *, keep: int = 3, rows: int = 50) -> Published:
    tables = tables_of(tmp_path / f"lake{number}", number, rows)
    return publish_files(tables, tmp_path / "published", as_of=FIRST + timedelta(days=number), keep=keep)


def shown(dsn: str, query: str) -> list[tuple]:
    import psycopg

    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type] - the test's own text


def partitions(dsn: str) -> set[str]:
    """Versions that stand, by their tables."""
    rows = shown(
        dsn, "SELECT relname FROM pg_class WHERE relnamespace::regnamespace::text = 'shop_versions' AND relkind = 'r'"
    )
    return {name.rsplit("_", 1)[1] for (name,) in rows}


def test_every_row_arrives_as_it_was(dsn: str, tmp_path: Path) -> None:
    published = version(tmp_path, 0)
    done = publish_postgres(dsn, published, SERVED, schema=SCHEMA)
    assert done.changed and done.rows == dict.fromkeys(SERVED, 50)
    for name, contract in SERVED.items():
        rows = pq.read_table(published.folder / f"{name}.parquet").to_pylist()
        order = ", ".join(f'"{column}"' for column in contract.primary_key)
        columns = ", ".join(f'"{column}"' for column in contract.column_names)
        found = shown(dsn, f"SELECT {columns} FROM {SCHEMA}.{name} ORDER BY {order}")
        key = [contract.column_names.index(column) for column in contract.primary_key]
        expected = sorted((tuple(row.values()) for row in rows), key=lambda row: [row[place] for place in key])
        assert found == expected, name
    # The plan of a lookup uses the key.
    plan = shown(dsn, f"EXPLAIN SELECT * FROM {SCHEMA}.recommendations WHERE person_id = 'p1' AND rank = 2")
    assert plan


def test_publishing_the_same_version_again_changes_nothing(dsn: str, tmp_path: Path) -> None:
    published = version(tmp_path, 0)
    publish_postgres(dsn, published, SERVED, schema=SCHEMA)
    told = "SELECT relname, relfilenode, xmin::text FROM pg_class WHERE relnamespace::regnamespace::text LIKE 'shop%'"
    before = sorted(shown(dsn, told))
    again = publish_postgres(dsn, published, SERVED, schema=SCHEMA)
    assert not again.changed and sorted(shown(dsn, told)) == before


def test_a_polling_reader_sees_whole_versions_only_during_ten_publishes(dsn: str, tmp_path: Path) -> None:
    import psycopg

    publish_postgres(dsn, version(tmp_path, 0), SERVED, schema=SCHEMA)
    stop, polls, wrong = threading.Event(), [], []
    one = " UNION ALL ".join(
        f"SELECT '{name}', count(*), min(as_of), max(as_of) FROM {SCHEMA}.{name}" for name in SERVED
    )

    def poll() -> None:
        with psycopg.connect(dsn) as connection:
            while not stop.is_set():
                # Two statements in one transaction: the version may not change between them either.
                with connection.transaction():
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    rows = connection.execute(one).fetchall()  # type: ignore[arg-type]
                    rows += connection.execute(one).fetchall()  # type: ignore[arg-type]
                days = {day for row in rows for day in row[2:]}
                number = (min(days) - FIRST).days
                polls.append(number)
                if len(days) != 1 or {row[1] for row in rows} != {50 + number}:
                    wrong.append(rows)

    readers = [threading.Thread(target=poll) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 11):
        assert publish_postgres(dsn, version(tmp_path, number, keep=2), SERVED, schema=SCHEMA).changed
    deadline = time.monotonic() + 5
    while 10 not in polls and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong, wrong[0]
    assert {0, 10} <= set(polls) and len(set(polls)) >= 4, sorted(set(polls))


def _publish_slowly(dsn: str, published: Published, phase: str, ready) -> None:
    from trasos_assets.publishing import postgres

    work = postgres.Database
    names = {"loading": "_load_table", "loaded": "swap", "swapped": "prune"}
    original = getattr(work, names[phase])
    calls = []

    def slow(self, *arguments):
        calls.append(1)
        if len(calls) == 2 or phase in ("loaded", "swapped"):
            ready.set()
            time.sleep(60)
        return original(self, *arguments)

    setattr(work, names[phase], slow)
    postgres.publish_postgres(dsn, published, SERVED, schema=SCHEMA)


@pytest.mark.parametrize("phase", ["loading", "loaded", "swapped"])
def test_a_publisher_killed_at_any_phase_leaves_the_last_version_and_the_next_one_ends_it(
    dsn: str, tmp_path: Path, phase: str
) -> None:
    publish_postgres(dsn, version(tmp_path, 0), SERVED, schema=SCHEMA)
    following = version(tmp_path, 1)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_publish_slowly, args=(dsn, following, phase, ready))
    process.start()
    assert ready.wait(30)
    os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    process.join()
    days = " UNION ".join(f"SELECT count(*), as_of FROM {SCHEMA}.{name} GROUP BY as_of" for name in SERVED)
    assert shown(dsn, days) == ([(51, FIRST + timedelta(days=1))] if phase == "swapped" else [(50, FIRST)])
    assert publish_postgres(dsn, following, SERVED, schema=SCHEMA).changed == (phase != "swapped")
    assert shown(dsn, days) == [(51, FIRST + timedelta(days=1))]
    assert partitions(dsn) == {following.version, *following.history}


def test_two_publishers_at_once_take_turns(dsn: str, tmp_path: Path) -> None:
    versions = [version(tmp_path, number) for number in range(2)]
    waited, done, failed = [], [], []

    def publish(published: Published) -> None:
        try:
            done.append(publish_postgres(dsn, published, SERVED, schema=SCHEMA, on_wait=waited.append))
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=publish, args=(versions[n % 2],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(done) == 6 and waited
    days = " UNION ".join(f"SELECT count(*), as_of FROM {SCHEMA}.{name} GROUP BY as_of" for name in SERVED)
    assert len(shown(dsn, days)) == 1
    assert shown(dsn, f"SELECT count(*) FROM {SCHEMA}.published_versions WHERE is_current") == [(1,)]


def test_versions_that_are_no_longer_kept_are_dropped_unless_somebody_uses_them(dsn: str, tmp_path: Path) -> None:
    import psycopg

    names = []
    for number in range(4):
        published = version(tmp_path, number, keep=2)
        names.append(published.version)
        publish_postgres(dsn, published, SERVED, schema=SCHEMA)
    assert partitions(dsn) == set(names[2:])
    with psycopg.connect(dsn) as connection:
        connection.execute(f'SELECT count(*) FROM {SCHEMA}_versions."also_bought_{names[2]}"')  # type: ignore[arg-type]
        done = publish_postgres(dsn, version(tmp_path, 4, keep=1), SERVED, schema=SCHEMA)
        assert done.changed and done.left == (names[2],)
    assert publish_postgres(dsn, version(tmp_path, 4, keep=1), SERVED, schema=SCHEMA).left == ()
    assert len(partitions(dsn)) == 1


def test_a_transaction_that_reads_for_long_holds_nothing_back_and_goes_on_reading_its_version(
    dsn: str, tmp_path: Path
) -> None:
    import psycopg

    publish_postgres(dsn, version(tmp_path, 0), SERVED, schema=SCHEMA)
    following = version(tmp_path, 1)
    counted = f"SELECT (SELECT count(*) FROM {SCHEMA}.substitutes), (SELECT count(*) FROM {SCHEMA}.also_bought)"
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        assert connection.execute(counted).fetchall() == [(50, 50)]  # type: ignore[arg-type]
        assert publish_postgres(dsn, following, SERVED, schema=SCHEMA, swap_seconds=0).changed
        assert connection.execute(counted).fetchall() == [(50, 50)]  # type: ignore[arg-type]
        assert shown(dsn, counted) == [(51, 51)]


def wider(tmp_path: Path) -> tuple[Published, dict]:
    """A version in which also_bought has a column more."""
    tables = tables_of(tmp_path / "wider", 1)
    contract, file = tables["also_bought"]
    more = replace(contract, columns=(*contract.columns, Column("clicks", INT64, "Clicks.", nullable=True)))
    table = pq.read_table(file)
    pq.write_table(table.append_column("clicks", table["orders_together"]), file)
    tables["also_bought"] = (more, file)
    published = publish_files(tables, tmp_path / "published", as_of=FIRST + timedelta(days=1), keep=3)
    return published, SERVED | {"also_bought": more}


def test_columns_that_change_wait_for_readers_without_shutting_others_out(dsn: str, tmp_path: Path) -> None:
    import psycopg

    publish_postgres(dsn, version(tmp_path, 0), SERVED, schema=SCHEMA)
    published, contracts = wider(tmp_path)
    with psycopg.connect(dsn) as connection:
        connection.execute(f"SELECT count(*) FROM {SCHEMA}.also_bought")  # type: ignore[arg-type]
        with pytest.raises(PublishError, match="columns of also_bought changed, and transactions have been reading"):
            publish_postgres(dsn, published, contracts, schema=SCHEMA, swap_seconds=0.5)
        assert shown(dsn, f"SELECT count(*) FROM {SCHEMA}.also_bought") == [(50,)]
    assert publish_postgres(dsn, published, contracts, schema=SCHEMA).changed
    assert shown(dsn, f"SELECT count(*) FROM {SCHEMA}.also_bought") == [(51,)]


def test_readers_keep_their_rights_and_a_column_may_be_added(dsn: str, tmp_path: Path) -> None:
    import psycopg

    publish_postgres(dsn, version(tmp_path, 0), SERVED, schema=SCHEMA)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS backend")
        connection.execute("CREATE ROLE backend LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO backend")  # type: ignore[arg-type]
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO backend")  # type: ignore[arg-type]
    published, contracts = wider(tmp_path)
    publish_postgres(dsn, published, contracts, schema=SCHEMA)
    as_backend = dsn.replace("user=trasos", "user=backend")
    assert shown(as_backend, f"SELECT count(clicks) FROM {SCHEMA}.also_bought") == [(51,)]


def test_names_are_quoted(dsn: str, tmp_path: Path) -> None:
    odd = 'order"; drop'
    assert publish_postgres(dsn, version(tmp_path, 0), SERVED, schema=odd).changed
    assert shown(dsn, 'SELECT count(*) FROM "order""; drop".also_bought') == [(50,)]


def test_errors_name_the_fix_and_never_the_password(tmp_path: Path) -> None:
    published = version(tmp_path, 0)
    secret = "s3cret-pass"
    for dsn in (
        f"postgresql://shop:{secret}@127.0.0.1:1/shop",
        f"host=127.0.0.1 port=1 password={secret}",
        f"this is {secret}",
        f"postgresql://shop:{secret}@127.0.0.1:notaport/shop",
        f"postgresql://shop:half@{secret}@127.0.0.1:1/shop",
    ):
        with pytest.raises(PublishError) as told:
            publish_postgres(dsn, published, SERVED, schema=SCHEMA)
        assert secret not in str(told.value) and "TRASOS_PUBLISH_POSTGRES" in str(told.value)
        assert told.value.__cause__ is None and told.value.__suppress_context__

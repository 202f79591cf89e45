"""The importers: nothing is lost, ids are stable, bytes are the same, and every fault is named."""

import csv
import gzip
import io
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.contracts.landing import CATALOGUE, EVENT
from trasos_assets.landing.importers import IMPORTERS, ImportReport, ImportSourceError, import_data
from trasos_assets.landing.importers.online_retail import COLUMNS
from trasos_assets.landing.writer import json_line, write_landing
from trasos_assets_tests.real_data import ONLINE_RETAIL, needs_online_retail

LINES = [
    ("536365", "85123a ", "WHITE HEART", "6", "2010-12-01 08:26:00", "2.55", "17850.0", "United Kingdom"),
    ("536365", "85123a ", "WHITE HEART", "6", "2010-12-01 08:26:00", "2.55", "17850.0", "United Kingdom"),
    ("536366", "POST", "POSTAGE", "1", "2010-12-01 09:00:00", "18.00", "", "France"),
    ("C536367", "85123A", "WHITE HEART", "-2", "2010-12-01 10:00:00", "2.55", "17850.0", "United Kingdom"),
    ("536368", "22139", "damages", "-56", "2010-12-01 11:00:00", "0.0", "", "United Kingdom"),
    ("A536369", "B", "Adjust bad debt", "1", "2010-12-01 12:00:00", "-11062.06", "", "United Kingdom"),
    ("536370", "DCGS0003", 'BOXED, 3" ASHTRAY', "1", "2010-12-01 13:00:00", "2.51", "", "United Kingdom"),
    ("536371", "22139", "RETRO TEA SET", "1", "2010-12-01 14:00:00", "0.0", "12583.0", "France"),
]


def csv_text(rows: list[tuple[str, ...]], header: tuple[str, ...] = COLUMNS) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_csv(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = COLUMNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = csv_text(rows, header).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def landed(out: Path, dataset: str = "events") -> list[dict]:
    files = sorted((out / dataset).glob("dt=*/*.jsonl.gz"))
    return [
        {**json.loads(line, parse_float=Decimal), "dt": path.parent.name[3:]}
        for path in files
        for line in gzip.decompress(path.read_bytes()).decode().splitlines()
    ]


def all_bytes(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def online_retail(tmp_path: Path, rows: list[tuple[str, ...]], **options) -> tuple[ImportReport, list[dict]]:
    source = write_csv(tmp_path / "source" / "2010-12-01.csv", rows)
    report = import_data("online-retail", source, tmp_path / "out", **options)
    return report, landed(tmp_path / "out")


# --- online-retail: what a line becomes ---


def test_every_line_is_written_or_rejected_under_a_reason(tmp_path):
    report, events = online_retail(tmp_path, LINES)
    assert report.rows_read == len(LINES)
    assert report.written == {"events": 7, "catalogue": 5}
    assert report.rejected == {"stock_adjustment": 1}
    assert report.examples == {"stock_adjustment": ("2010-12-01:5",)}
    assert len(events) == 7
    assert (report.first_day, report.last_day) == ("2010-12-01", "2010-12-01")
    assert any("stock_adjustment: 1 (e.g. 2010-12-01:5)" in line for line in report.lines())


def test_exact_duplicate_lines_are_two_events(tmp_path):
    _, events = online_retail(tmp_path, LINES)
    ids = [event["event_id"] for event in events]
    assert ids[:2] == ["online-retail:536365:1", "online-retail:536365:2"]
    assert len(set(ids)) == len(ids)


def test_purchase_carries_the_line_as_it_was(tmp_path):
    _, events = online_retail(tmp_path, LINES)
    assert events[0] == {
        "event_id": "online-retail:536365:1",
        "event_type": "purchase",
        "occurred_at": "2010-12-01T08:26:00.000000Z",
        "received_at": "2010-12-01T08:26:00.000000Z",
        "customer_id": "17850",
        "item_id": "85123A",
        "quantity": 6,
        "unit_price": Decimal("2.55"),
        "currency": "GBP",
        "order_id": "536365",
        "country": "United Kingdom",
        "dt": "2010-12-01",
    }


def test_cancellation_has_positive_quantity_and_its_own_order(tmp_path):
    _, events = online_retail(tmp_path, LINES)
    (cancellation,) = [event for event in events if event["event_type"] == "cancellation"]
    assert (cancellation["quantity"], cancellation["order_id"]) == (2, "C536367")


def test_guest_is_a_visitor_of_the_invoice_and_no_customer(tmp_path):
    _, events = online_retail(tmp_path, LINES)
    guest = next(event for event in events if event["order_id"] == "536366")
    assert guest["visitor_id"] == "guest-536366"
    assert "customer_id" not in guest


def test_zero_and_negative_prices_land_for_the_platform_to_judge(tmp_path):
    _, events = online_retail(tmp_path, LINES)
    prices = {event["order_id"]: event["unit_price"] for event in events}
    assert prices["536371"] == 0
    assert prices["A536369"] == Decimal("-11062.06")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"InvoiceNo": " "}, "no_invoice_number"),
        ({"StockCode": ""}, "no_stock_code"),
        ({"InvoiceDate": "yesterday"}, "unreadable_date"),
        ({"InvoiceDate": "infinity"}, "unreadable_date"),
        ({"InvoiceDate": "epoch"}, "unreadable_date"),
        ({"Quantity": "six"}, "unreadable_quantity"),
        ({"Quantity": "1.5"}, "unreadable_quantity"),
        ({"UnitPrice": "n/a"}, "unreadable_price"),
        ({"Quantity": "0"}, "zero_quantity"),
        ({"Quantity": "-1"}, "stock_adjustment"),
        ({"InvoiceNo": "C1"}, "cancellation_with_positive_quantity"),
    ],
)
def test_line_that_is_no_shop_event_is_rejected_by_name(tmp_path, changed, reason):
    good = dict(zip(COLUMNS, LINES[0], strict=True))
    report, events = online_retail(tmp_path, [tuple({**good, **changed}.values()), LINES[2]])
    assert report.rejected == {reason: 1}
    assert [event["order_id"] for event in events] == ["536366"]


def test_line_with_too_few_fields_is_counted_as_malformed(tmp_path):
    source = tmp_path / "2010-12-01.csv"
    header, *lines = csv_text(LINES[:3]).splitlines()
    source.write_text("\n".join([header, *lines[:2], "536399,85123A", *lines[2:]]))
    report = import_data("online-retail", source, tmp_path / "out")
    assert report.rows_read == 4
    assert report.written["events"] == 3
    assert report.rejected == {"malformed_line": 1}
    assert report.examples["malformed_line"] == ("2010-12-01.csv:4",)


def test_open_quote_is_refused_because_it_swallows_lines(tmp_path):
    source = tmp_path / "2010-12-01.csv"
    lines = csv_text(LINES[:3] * 5).splitlines()
    lines[4] = lines[4].replace("WHITE", '"WHITE')
    source.write_text("\n".join(lines) + "\n")
    with pytest.raises(ImportSourceError, match=r"2010-12-01\.csv, line 5: a quote is not closed"):
        import_data("online-retail", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mixed_line_ends_are_refused_by_file(tmp_path):
    write_csv(tmp_path / "source" / "a.csv", LINES)
    (tmp_path / "source" / "b.csv").write_bytes(csv_text(LINES).encode().replace(b"\r\n", b"\n", 3))
    with pytest.raises(ImportSourceError, match=r"b\.csv: the lines cannot be told apart"):
        import_data("online-retail", tmp_path / "source", tmp_path / "out")


# --- online-retail: sources, order, time ---


def test_workbook_export_gives_the_same_events_as_the_daily_folder(tmp_path):
    second = [("536365", "22139", "RETRO TEA SET", "1", "2010-12-02 09:05:00", "4.25", "17850.0", "United Kingdom")]
    folder = tmp_path / "daily"
    write_csv(folder / "2010-12-01.csv.gz", LINES)
    write_csv(folder / "2010-12-02.csv.gz", second)
    export = [
        (*row[:4], f"12/{int(row[4][8:10])}/2010 {int(row[4][11:13])}:{row[4][14:16]}", *row[5:])
        for row in LINES + second
    ]
    workbook = tmp_path / "Online Retail.csv"
    pound_sign = ("536400", "GIFT_0001_20", "Gift Voucher £20.00", "1", "12/2/2010 9:10", "17.02", "", "EIRE")
    workbook.write_bytes(csv_text([*export, pound_sign]).encode("latin-1"))
    write_csv(folder / "2010-12-03.csv.gz", [(*pound_sign[:4], "2010-12-02 09:10:00", *pound_sign[5:])])

    import_data("online-retail", folder, tmp_path / "a")
    import_data("online-retail", workbook, tmp_path / "b")
    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")
    assert landed(tmp_path / "a")[-2]["event_id"] == "online-retail:536365:3"
    names = {row["item_id"]: row.get("name") for row in landed(tmp_path / "a", "catalogue")}
    assert names["GIFT_0001_20"] == "Gift Voucher £20.00"


def test_byte_order_mark_crlf_and_semicolons_are_read(tmp_path):
    source = tmp_path / "excel.csv"
    text = csv_text(LINES[:1]).replace(",", ";").replace("InvoiceNo", "\ufeffInvoiceNo")
    source.write_bytes(text.encode())
    report = import_data("online-retail", source, tmp_path / "out")
    assert report.written["events"] == 1
    assert landed(tmp_path / "out")[0]["order_id"] == "536365"


def test_naive_times_are_read_in_the_time_zone_and_land_on_their_utc_day(tmp_path):
    late = [(*LINES[0][:4], "2011-07-01 00:30:00", *LINES[0][5:])]
    _, events = online_retail(tmp_path, late, timezone="Europe/London")
    assert events[0]["occurred_at"] == "2011-06-30T23:30:00.000000Z"
    assert events[0]["dt"] == "2011-06-30"


def test_day_first_dates_are_refused_instead_of_misread(tmp_path):
    rows = [(*LINES[0][:4], day, *LINES[0][5:]) for day in ("01/12/2010 08:26", "13/12/2010 08:26")]
    with pytest.raises(ImportSourceError, match="day/month/year"):
        online_retail(tmp_path, rows)
    assert not (tmp_path / "out").exists()


def test_many_files_keep_their_order_in_ids(tmp_path):
    rows_per_file = 40_000
    source = tmp_path / "source"
    for number in range(3):
        rows = [
            ("1", "85123A", "X", str(number * rows_per_file + row + 1), "2010-12-01 08:26:00", "1", "7", "UK")
            for row in range(rows_per_file)
        ]
        write_csv(source / f"part-{number}.csv.gz", rows)
    import_data("online-retail", source, tmp_path / "out")
    assert all(event["event_id"] == f"online-retail:1:{event['quantity']}" for event in landed(tmp_path / "out"))


# --- online-retail: the catalogue ---


def test_codes_of_fees_are_services_and_gift_shop_codes_are_products(tmp_path):
    online_retail(tmp_path, LINES)
    kinds = {row["item_id"]: row["kind"] for row in landed(tmp_path / "out", "catalogue")}
    assert kinds == {
        "85123A": "product",
        "22139": "product",
        "DCGS0003": "product",
        "POST": "service",
        "B": "service",
    }


def test_catalogue_speaks_again_only_when_the_usual_price_or_name_changes(tmp_path):
    def line(day: int, price: str, name: str = "CUP", count: int = 1) -> list[tuple[str, ...]]:
        return [(f"{day}", "10001", name, "1", f"2010-12-{day:02d} 09:00:00", price, "7", "UK")] * count

    rows = [
        *line(1, "1.00", count=2),
        *line(2, "2.00", count=2),  # only draws level: the price reached first stands
        *line(3, "0.0", name="damaged?", count=9),  # says nothing of price or name
        *line(4, "2.00"),
        *line(5, "2.00", name="MUG", count=9),
    ]
    online_retail(tmp_path, rows)
    states = [(r["dt"], r["name"], r["price"]) for r in landed(tmp_path / "out", "catalogue")]
    assert states == [
        ("2010-12-01", "CUP", Decimal("1")),
        ("2010-12-04", "CUP", Decimal("2")),
        ("2010-12-05", "MUG", Decimal("2")),
    ]


def test_item_without_a_priced_line_is_named_in_no_words(tmp_path):
    online_retail(tmp_path, [LINES[7]])
    (item,) = landed(tmp_path / "out", "catalogue")
    assert item == {"item_id": "22139", "kind": "product", "currency": "GBP", "available": True, "dt": "2010-12-01"}


# --- determinism and faults ---


def test_second_run_changes_no_byte_and_leaves_no_hidden_file(tmp_path):
    online_retail(tmp_path, LINES)
    first = all_bytes(tmp_path / "out")
    online_retail(tmp_path, LINES)
    assert all_bytes(tmp_path / "out") == first
    assert set(first) == {
        "events/dt=2010-12-01/events.jsonl.gz",
        "catalogue/dt=2010-12-01/catalogue.jsonl.gz",
    }
    header = first["events/dt=2010-12-01/events.jsonl.gz"][:10]
    assert header[3] == 0 and header[4:8] == bytes(4), "gzip header must hold neither a name nor a time"


def test_failed_write_leaves_the_old_file_whole(tmp_path):
    connection = duckdb.connect()
    write_landing(connection.sql("SELECT 'events/a.gz' AS path, 'old' || chr(10) AS line"), tmp_path)
    before = all_bytes(tmp_path)
    with pytest.raises(ValueError, match="no line"):
        rows = "SELECT 'events/a.gz' AS path, if(i < 60000, 'new' || chr(10), NULL) AS line FROM range(60001) t(i)"
        write_landing(connection.sql(rows), tmp_path)
    assert all_bytes(tmp_path) == before


def test_rows_that_are_not_sorted_by_path_are_refused(tmp_path):
    rows = duckdb.connect().sql("FROM (VALUES ('a', 'x'), ('b', 'x'), ('a', 'x')) t(path, line)")
    with pytest.raises(ValueError, match="a comes twice"):
        write_landing(rows, tmp_path)


def test_lines_are_the_same_bytes_however_they_are_batched(tmp_path, monkeypatch):
    def write(out: str) -> dict[str, bytes]:
        lines = "SELECT 'f' || (i // 7000) AS path, repeat('é', i % 97) || i || chr(10) AS line FROM range(20000) t(i)"
        write_landing(duckdb.connect().sql(f"FROM ({lines}) ORDER BY path, line"), tmp_path / out)
        return all_bytes(tmp_path / out)

    monkeypatch.setattr("trasos_assets.landing.writer.BLOCK_BYTES", 4096)
    whole = write("a")
    monkeypatch.setattr("trasos_assets.landing.writer.BATCH_ROWS", 999)
    assert write("b") == whole
    assert gzip.decompress(whole["f1"]).decode().count("\n") == 7000


def test_json_line_keeps_what_is_no_number_as_text():
    present = ("event_id", "quantity", "unit_price", "is_test", "country")
    row = "SELECT 'a\"b' AS event_id, 'six' AS quantity, '2.5000' AS unit_price, 'yes?' AS is_test, NULL AS country"
    ((line,),) = duckdb.connect().sql(row).project(json_line(EVENT, present)).fetchall()
    assert line.endswith("}\n")
    assert json.loads(line) == {"event_id": 'a"b', "quantity": "six", "unit_price": 2.5, "is_test": "yes?"}


@pytest.mark.parametrize("present", [("event_id", "colour"), ("quantity",)])
def test_json_line_refuses_fields_that_are_no_event(present):
    with pytest.raises(ValueError, match="events lines"):
        json_line(EVENT, present)


def test_missing_source_is_named(tmp_path):
    with pytest.raises(ImportSourceError, match=r"nowhere does not exist.*name a CSV"):
        import_data("online-retail", tmp_path / "nowhere", tmp_path / "out")


def test_folder_without_csv_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportSourceError, match=r"empty holds no .csv"):
        import_data("online-retail", tmp_path / "empty", tmp_path / "out")


def test_missing_column_is_named_with_those_that_are_there(tmp_path):
    source = write_csv(tmp_path / "a.csv", [("1", "2")], ("InvoiceNo", "Price"))
    with pytest.raises(ImportSourceError, match=r"a\.csv: no column StockCode.*the file has InvoiceNo, Price"):
        import_data("online-retail", source, tmp_path / "out")


def test_truncated_gzip_is_refused_before_anything_lands(tmp_path):
    source = write_csv(tmp_path / "source" / "2010-12-01.csv.gz", LINES * 200)
    source.write_bytes(source.read_bytes()[:-20])
    with pytest.raises(ImportSourceError, match=r"2010-12-01\.csv\.gz: the gzip stream is cut short"):
        import_data("online-retail", source.parent, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_would_share_ids_are_refused(tmp_path):
    write_csv(tmp_path / "source" / "a.csv", LINES)
    write_csv(tmp_path / "source" / "a.csv.gz", LINES)
    with pytest.raises(ImportSourceError, match="same ids"):
        import_data("online-retail", tmp_path / "source", tmp_path / "out")


def test_files_with_other_columns_are_refused(tmp_path):
    write_csv(tmp_path / "source" / "a.csv", LINES)
    write_csv(tmp_path / "source" / "b.csv", [("1",)], ("x",))
    with pytest.raises(ImportSourceError, match=r"b\.csv has the columns x"):
        import_data("online-retail", tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "options", "fault"),
    [
        ("amazon", {}, "there is no importer 'amazon'; there are online-retail, events-csv"),
        ("online-retail", {"timezone": "Mars/Olympus"}, "'Mars/Olympus' is no IANA time zone"),
        ("online-retail", {"column_map": Path("m.yaml")}, "leave --map out"),
        ("events-csv", {}, "needs a column map: pass --map FILE"),
    ],
)
def test_wrong_request_is_explained(tmp_path, name, options, fault):
    source = write_csv(tmp_path / "a.csv", LINES)
    with pytest.raises(ImportSourceError, match=fault):
        import_data(name, source, tmp_path / "out", **options)


def test_importers_are_listed_by_name():
    assert {name: importer.needs_map for name, importer in IMPORTERS.items()} == {
        "online-retail": False,
        "events-csv": True,
    }


def test_report_that_does_not_add_up_is_an_error():
    with pytest.raises(ImportSourceError, match="3 rows were read, but 1 were written and 1 rejected"):
        ImportReport("x", Path("src"), Path("out"), 3, {"events": 1, "catalogue": 9}, {"zero_quantity": 1})


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "C3", "A4", "c5", ""]),
            st.sampled_from(["10001", "10001a", "POST", 'x, "y"\nz', ""]),
            st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=5),
            st.integers(-3, 3).map(str) | st.sampled_from(["", "x"]),
            st.sampled_from(["2010-12-01 08:26:00", "12/31/2010 23:59", "", "never"]),
            st.decimals(-1, 99, places=3).map(str) | st.just(""),
            st.sampled_from(["17850.0", "17850", ""]),
            st.sampled_from(["UK", ""]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_lines_in_equal_lines_out_and_value_is_conserved(tmp_path_factory, rows):
    tmp_path = tmp_path_factory.mktemp("property")
    report, events = online_retail(tmp_path, rows)
    assert report.rows_read == len(rows) == len(events) + sum(report.rejected.values())
    assert len({event["event_id"] for event in events}) == len(events)
    signs = {"purchase": 1, "cancellation": -1}
    net = sum(signs[e["event_type"]] * e["quantity"] * Decimal(e["unit_price"]) for e in events)
    expected = sum(
        int(quantity) * Decimal(price)
        for invoice, code, _, quantity, at, price, _, _ in rows
        if invoice and code and at not in ("", "never") and price and quantity not in ("", "x", "0")
        if (int(quantity) < 0) == invoice.upper().startswith("C")
    )
    assert net == expected


# --- events-csv ---

MAP = """
source: clickstream
columns: {occurred_at: event_time, event_type: event_type, visitor_id: user_id, item_id: product, unit_price: price}
constants: {currency: USD}
values:
  event_type: {view: page_view, cart: add_to_cart, ping: null}
"""
CLICKS = [
    ("2019-10-01 00:00:00 UTC", "view", "u1", "p1", "1.50"),
    ("2019-10-01T02:30:00+02:00", "cart", "u1", "p1", "1.50"),
    ("2019-10-02 10:00:00", "purchase", "u2", "p2", "free"),
    ("2019-10-02 10:00:00", "ping", "u2", "", ""),
    ("soon", "view", "u3", "p3", "1"),
    ("", "view", "u3", "p3", "1"),
]
CLICK_COLUMNS = ("event_time", "event_type", "user_id", "product", "price")


def events_csv(tmp_path: Path, map_text: str = MAP, rows=CLICKS, header=CLICK_COLUMNS, **options):
    source = write_csv(tmp_path / "source" / "oct.csv.gz", rows, header)
    column_map = tmp_path / "map.yaml"
    column_map.write_text(map_text)
    report = import_data("events-csv", source.parent, tmp_path / "out", column_map=column_map, **options)
    return report, landed(tmp_path / "out")


def test_column_map_turns_rows_into_events(tmp_path):
    report, events = events_csv(tmp_path)
    assert report.rejected == {"left_out_by_map": 1, "no_occurred_at": 1, "unreadable_occurred_at": 1}
    assert report.rows_read == 6 and report.written == {"events": 3}
    assert report.examples["unreadable_occurred_at"] == ("oct:5",)
    assert events[1] == {
        "event_id": "clickstream:oct:2",
        "event_type": "add_to_cart",
        "occurred_at": "2019-10-01T00:30:00.000000Z",
        "received_at": "2019-10-01T00:30:00.000000Z",
        "visitor_id": "u1",
        "item_id": "p1",
        "unit_price": Decimal("1.5"),
        "currency": "USD",
        "dt": "2019-10-01",
    }
    assert [p.relative_to(tmp_path / "out").as_posix() for p in report.files] == [
        "events/dt=2019-10-01/clickstream-oct.jsonl.gz",
        "events/dt=2019-10-02/clickstream-oct.jsonl.gz",
    ]


def test_value_of_a_wrong_type_lands_as_it_is_for_the_platform_to_name(tmp_path):
    _, events = events_csv(tmp_path)
    assert events[2]["unit_price"] == "free"


def test_another_document_imported_later_replaces_nothing(tmp_path):
    events_csv(tmp_path)
    before = all_bytes(tmp_path / "out")
    source = write_csv(tmp_path / "november.csv", CLICKS, CLICK_COLUMNS)
    import_data("events-csv", source, tmp_path / "out", column_map=tmp_path / "map.yaml")
    after = all_bytes(tmp_path / "out")
    assert before.items() < after.items()
    ids = Counter(event["event_id"] for event in landed(tmp_path / "out"))
    assert max(ids.values()) == 1


def test_event_lands_on_the_day_it_was_received(tmp_path):
    text = MAP.replace("occurred_at: event_time", "occurred_at: event_time, received_at: got, event_id: id")
    rows = [
        ("2019-10-01 00:00:00", "view", "u1", "p1", "1", "2019-10-03 00:00:00", "mine"),
        ("2019-10-01 00:00:00", "view", "u1", "p1", "1", "", ""),
        ("2019-10-01 00:00:00", "view", "u1", "p1", "1", "never", "x"),
    ]
    report, events = events_csv(tmp_path, text, rows, (*CLICK_COLUMNS, "got", "id"))
    assert [(e["dt"], e["event_id"]) for e in events] == [("2019-10-01", "clickstream:oct:2"), ("2019-10-03", "mine")]
    assert report.rejected == {"unreadable_received_at": 1}


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("'%d.%m.%Y %H:%M'", "01.07.2019 02:00"),
        ("unix_seconds", "1561939200"),
        ("unix_milliseconds", "1561939200000"),
        ("['%d/%m/%Y', iso]", "2019-07-01T02:00:00"),
        ("'%Y-%m-%d %H:%M %z'", "2019-07-01 03:00 +0300"),
    ],
)
def test_timestamp_formats_give_the_same_instant(tmp_path, form, text):
    rows = [(text, "view", "u1", "p1", "1")]
    _, events = events_csv(tmp_path, f"{MAP}\ntimestamp_format: {form}", rows, timezone="Europe/Berlin")
    assert [event["occurred_at"] for event in events] == ["2019-07-01T00:00:00.000000Z"]


def test_constants_fill_what_is_empty_and_null_values_are_empty(tmp_path):
    text = f"{MAP}\nnull_values: ['NULL']".replace("currency: USD", "currency: USD, item_id: unknown, quantity: 1")
    rows = [("2019-10-01 00:00:00", "view", "u1", "NULL", "1"), ("2019-10-01 00:00:00", "view", "NULL", "p", "1")]
    _, events = events_csv(tmp_path, text, rows)
    assert [(e["item_id"], e["quantity"], e.get("visitor_id")) for e in events] == [
        ("unknown", 1, "u1"),
        ("p", 1, None),
    ]


def test_currency_of_the_request_fills_a_map_without_one(tmp_path):
    _, events = events_csv(tmp_path, MAP.replace("constants: {currency: USD}", ""), currency="EUR")
    assert {event["currency"] for event in events} == {"EUR"}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("item_id: product", "product_id: product", r"map\.yaml: columns names product_id.*the fields are event_id"),
        ("price}", "cost}", r"oct\.csv\.gz: no column cost, which .*map\.yaml needs; the file has event_time"),
        ("page_view", "pageview", r"values\.event_type gives pageview.*the types are page_view"),
        ("occurred_at: event_time, ", "", "which column is occurred_at"),
        ("visitor_id: user_id, ", "", "visitor_id or customer_id"),
        ("event_type: event_type, ", "", "event_type needs a column"),
        ("constants:", "constant:", "unknown settings constant; there are source, columns"),
        ("source: clickstream", "source: Click Stream", "lower-case"),
        ("source: clickstream", "", "lacks source"),
        ("constants:", "timestamp_format: '%Q'\nconstants:", "timestamp_format '%Q' is not understood"),
        ("constants:", "timestamp_format: us\nconstants:", "timestamp_format 'us' is not understood"),
        ("currency: USD", "occurred_at: 2019-10-01", "can only come from a column"),
        ("constants:", "encoding: ebcdic\nconstants:", "encoding must be one of"),
        ("columns: {", "columns: [", "no YAML"),
    ],
)
def test_fault_in_the_column_map_is_named(tmp_path, old, new, fault):
    assert old in MAP
    with pytest.raises(ImportSourceError, match=fault):
        events_csv(tmp_path, MAP.replace(old, new))
    assert not (tmp_path / "out").exists()


def test_progress_ends_at_the_number_of_lines(tmp_path):
    seen: list[tuple[str, int, int]] = []
    events_csv(tmp_path, progress=lambda *step: seen.append(step))
    assert seen[0] == ("checking files", 1, 1)
    assert seen[-1] == ("writing landing files", 3, 3)


def test_fields_of_the_importers_are_fields_of_the_format(tmp_path):
    online_retail(tmp_path, LINES)
    events, items = landed(tmp_path / "out"), landed(tmp_path / "out", "catalogue")
    assert set().union(*events) - {"dt"} <= {c.name for c in EVENT.columns}
    assert set().union(*items) - {"dt"} <= {c.name for c in CATALOGUE.columns}
    assert all(set(EVENT.required) <= set(event) for event in events)
    assert all(set(CATALOGUE.required) <= set(item) for item in items)


# --- the real data ---


@pytest.mark.slow
@needs_online_retail
def test_online_retail_gives_its_known_figures(tmp_path):
    report = import_data("online-retail", ONLINE_RETAIL, tmp_path)
    assert report.rows_read == 541_909
    assert report.written["events"] == 540_573
    assert report.rejected == {"stock_adjustment": 1_336}
    connection = duckdb.connect()
    connection.execute(
        """
        CREATE TABLE events AS SELECT *, quantity * unit_price AS amount
        FROM read_json($files, format = 'newline_delimited', columns = {
            event_id: 'VARCHAR', event_type: 'VARCHAR', visitor_id: 'VARCHAR', customer_id: 'VARCHAR',
            order_id: 'VARCHAR', quantity: 'INTEGER', unit_price: 'DECIMAL(18, 4)'})
        """,
        {"files": f"{tmp_path}/events/*/*.jsonl.gz"},
    )

    def one(query: str) -> tuple:
        return connection.sql(query).fetchall()[0]

    assert one("SELECT count(*), count(DISTINCT event_id) FROM events") == (540_573, 540_573)
    assert one("SELECT count(*) FROM events WHERE (visitor_id IS NULL) = (customer_id IS NULL)") == (0,)
    assert one("SELECT count(*) FROM events WHERE unit_price < 0") == (2,)
    assert one("SELECT count(*) FROM events WHERE event_type = 'cancellation'") == (9_288,)
    assert one("""
        SELECT count(*), count(DISTINCT order_id), count(DISTINCT customer_id), sum(amount)
        FROM events WHERE event_type = 'purchase' AND customer_id IS NOT NULL AND unit_price > 0
    """) == (397_884, 18_532, 4_338, Decimal("8911407.9040"))
    assert one("""
        SELECT count(DISTINCT customer_id),
               round(sum(amount) FILTER (event_type = 'purchase'), 2),
               round(sum(amount) FILTER (event_type = 'cancellation'), 2),
               round(sum(if(event_type = 'purchase', amount, -amount)), 2)
        FROM events WHERE customer_id IS NOT NULL
    """) == (4_372, Decimal("8911407.90"), Decimal("611342.09"), Decimal("8300065.81"))

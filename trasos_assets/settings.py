"""Every setting of the platform, in one class, read from the environment (prefix ``TRASOS_``)."""

import functools
import hashlib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trasos_assets.places import is_remote, name_of, place, store_of, store_path


def _local_dir(known: Mapping[str, Any]) -> Path:
    """The folder of this machine that belongs to a data folder, which may be in an object store."""
    data_dir = known.get("data_dir") or Path("data").absolute()
    return Path("data", "remote", name_of(data_dir)).absolute() if is_remote(data_dir) else data_dir


class Settings(BaseSettings):
    """Settings of one installation. A field ``late_days`` is set by ``TRASOS_LATE_DAYS``."""

    # A value that is refused may hold a password: errors name the setting only.
    model_config = SettingsConfigDict(env_prefix="TRASOS_", extra="ignore", frozen=True, hide_input_in_errors=True)

    data_dir: Path = Field(
        default_factory=lambda: Path("data").absolute(),
        description="Holds landing/, lake/, reports/: a folder, or a place in an object store (s3://bucket/prefix).",
    )
    local_dir: Path = Field(
        default_factory=_local_dir,
        description="What must be on this machine: dagster_home/, trasos.duckdb, locks, spills. Default: the data "
        "folder; data/remote/<name of the store> if that is in an object store.",
    )
    warehouse: Literal["views", "tables"] = Field(
        "views", description="Whether trasos.duckdb holds views over the lake, or the data themselves."
    )
    start_date: date | None = Field(None, description="First day of the lake. Default: the first landed day.")
    timezone: str = Field("UTC", description="The business time zone: it decides on which day an event falls.")
    currency: str = Field("GBP", description="The one currency of prices and costs; others are quarantined.")

    late_days: int = Field(
        3, ge=0, le=60, description="Events this late still restate their day; later are quarantined."
    )
    dedup_days: int = Field(7, ge=0, le=60, description="Received days within which one event id is one event.")
    max_line_bytes: int = Field(1_000_000, ge=1_000, description="A longer line is quarantined as line_too_long.")
    max_file_bytes: int = Field(20_000_000_000, ge=1, description="Decompressed size above which a file is refused.")
    landing_url: str | None = Field(
        None, repr=False, description="Where files land, e.g. s3://bucket/landing. Default: landing/ below data_dir."
    )
    landing_success: Literal["auto", "always", "never"] = Field(
        "auto", description="Whether a dt folder waits for its _SUCCESS; auto: if any folder of its data set has one."
    )
    landing_settle_seconds: int = Field(0, ge=0, description="A file changed more recently than this waits; 0 is off.")
    landing_wait_hours: int = Field(6, ge=0, description="A file unreadable for longer than this fails its check.")
    bot_events_per_day: int = Field(2_000, ge=1, description="A visitor with more events on a day is marked a bot.")
    bot_events_per_minute: int = Field(120, ge=1, description="A visitor with more in one minute is marked a bot.")
    bot_items_per_day: int = Field(
        150, ge=1, description="A visitor who looks at more items on a day, and does nothing else, is marked a bot."
    )
    session_gap_minutes: int = Field(
        30, ge=1, le=1_440, description="A longer pause begins a new session, where the source gives none."
    )
    session_max_hours: int = Field(
        12, ge=1, le=24, description="A source's session that lasts longer on a day is inferred anew."
    )

    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="What computes tables: duckdb in this process, or spark past one machine."
    )
    spark_master: str = Field(
        "local[*]", description="Spark's master, e.g. spark://host:7077; for TRASOS_ENGINE=spark."
    )
    seed: int = Field(42, description="Seed of everything random on the platform.")
    threads: int = Field(0, ge=0, description="Engine threads; 0 lets the engine take every core.")
    portion_rows: int = Field(1_000_000, ge=1, description="Rows of a table by day that a run makes at once.")
    memory_limit: str = Field("60%", description="Memory the engine may use before it spills, e.g. 4GB or 60%.")

    retention: Literal["off", "dry", "on"] = Field(
        "dry", description="What becomes of days past a table's keep_days: nothing, planned only, or removed."
    )
    retention_grace_days: int = Field(7, ge=0, description="Days between a removal being planned and carried out.")
    landing_keep_days: int | None = Field(
        None, ge=1, description="Accepted landing files older than this are removed too. Default: none is."
    )
    compact_after_days: int | None = Field(
        14, ge=1, description="Accepted landing files of days this old are bundled, one file a day; none: never."
    )
    price_gb_month: Decimal | None = Field(None, ge=0, description="Price of a gigabyte (10^9 bytes) kept for a month.")
    price_compute_hour: Decimal | None = Field(None, ge=0, description="Price of an hour of computing.")
    read_outside: str = Field(
        "", description="Tables, or table.column, comma separated, that people or BI read through the warehouse."
    )

    sample_share: float = Field(0.01, gt=0, le=1, description="Share of people in a sample.")
    sample_key: SecretStr | None = Field(
        None, description="Secret behind who is in samples and under which name. Default: one made for the lake."
    )

    erasure_key: SecretStr | None = Field(
        None, description="Secret that tells who was forgotten and must not come back. Default: one made for the lake."
    )

    top_k: int = Field(20, ge=1, le=200, description="Recommendations per person.")
    als_factors: int = Field(64, ge=1)
    als_regularization: float = Field(30.0, gt=0)
    als_alpha: float = Field(3.0, gt=0)
    als_iterations: int = Field(15, ge=1)
    test_days: int = Field(7, ge=1, description="Days of truth after the split when models are compared.")

    rules_file: Path | None = Field(
        None, description="Business rules of the shop's lists (YAML, see docs/serving.md). Default: none."
    )
    publish_dir: Path | None = Field(
        None, description="Where the lists are published as files for the shop's backend. Default: below data_dir."
    )
    publish_postgres: SecretStr | None = Field(
        None, description="PostgreSQL that the lists are published to, e.g. postgresql://user:password@host/db."
    )
    publish_schema: str = Field(
        "trasos", pattern=r"^[a-z_][a-z0-9_]{0,40}$", description="PostgreSQL schema whose views the shop reads."
    )
    publish_keep: int = Field(3, ge=1, description="Published versions that are kept, the current one among them.")
    folds: int = Field(2, ge=1, le=12, description="Windows of so many days, back to back, that models are judged on.")
    models: str = Field(
        "popularity,popularity_recent,personal_repeat,item_knn_bm25,als,blend",
        description="Models compared on the leaderboard, comma separated; the baselines are compared in any case.",
    )

    search_models: str = Field(
        "", description="Models that `search_models` and `trasos search` tune, comma separated. Default: all of them."
    )
    search_trials: int = Field(20, ge=1, description="Parameter sets that the search tries for each model.")
    search_target: Literal["new_items", "all_items"] = Field(
        "new_items", description="What the search looks for: items new to a person, or repeats too."
    )

    candidate: str = Field(
        "blend",
        description="The model that asks to become champion. Default: blend; als where there is none, on Spark.",
    )
    keep_models: int = Field(
        5, ge=1, description="Versions that served last and can be rolled back to without a refit."
    )
    non_inferiority_margin: float = Field(
        0.005, ge=0, description="NDCG@10 that a candidate may lose against the champion, and for new people."
    )
    non_inferiority_reason: str = Field(
        "", description="Why a candidate no better than the champion replaces it, where it knows no newer day."
    )
    done_people: int = Field(100, ge=1, description="People to judge a candidate by; with fewer none is promoted.")
    done_coverage: float = Field(
        0.1, ge=0, le=1, description="Least share of the items for sale that a candidate's lists must reach."
    )
    done_popularity: float = Field(
        0.9, gt=0, description="Most of the popularity of the most popular lists that a candidate's may have."
    )
    done_latency_ms: float = Field(
        50.0, gt=0, description="Most milliseconds a candidate may take for a person's list."
    )
    done_memory_mb: float = Field(4_096.0, gt=0, description="Most megabytes that the vectors of a candidate may take.")

    drift_reference_days: int = Field(
        28, ge=2, description="Last days that the serving model learned from: what new days are compared with."
    )
    drift_days: int = Field(7, ge=1, description="Last days since it learned that are compared with them.")
    drift_psi: float = Field(0.2, gt=0, description="Least population stability index, beyond chance, that is drift.")
    drift_js: float = Field(0.1, gt=0, le=1, description="Least Jensen-Shannon distance that is drift.")
    drift_alpha: float = Field(
        0.001, gt=0, lt=1, description="Rate at which chance may pass for drift in one look at one feature."
    )
    drift_people: int = Field(100, ge=2, description="Effective people on either side below which nothing is judged.")
    drift_looks: int = Field(2, ge=1, description="Looks in a row, as of different days, that must find the drift.")
    model_stale_days: int = Field(21, ge=1, description="Days of data after which the serving model is stale.")
    retraining_new_share: float = Field(
        0.25, gt=0, description="New interactions, as a share of those learned from, that ask for a training."
    )
    retraining_cooldown_days: int = Field(
        3, ge=1, description="Days of data after a training, or after asking for one, in which none is asked for."
    )

    @field_validator("rules_file", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        return None if value in (None, "") else Path(value).expanduser().absolute()

    @field_validator("publish_dir", mode="plain")
    @classmethod
    def _published(cls, value: Any) -> Path | None:
        return None if value in (None, "") else place(value)

    @field_validator("landing_keep_days", "compact_after_days", "price_gb_month", "price_compute_hour", mode="before")
    @classmethod
    def _none(cls, value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().lower() in ("", "none") else value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{value!r} is no IANA time zone; use a name such as Europe/London") from error
        return value

    @field_validator("data_dir", mode="plain")
    @classmethod
    def _place(cls, value: Any) -> Path:
        return place(value)

    @field_validator("local_dir", mode="plain")
    @classmethod
    def _of_this_machine(cls, value: Any) -> Path:
        found = place(value)
        if is_remote(found):
            raise ValueError("locks and databases need a folder of this machine, no object store")
        return found

    @field_validator("landing_url")
    @classmethod
    def _known_store(cls, value: str | None) -> str | None:
        if value and "://" in value:
            store_of(value)
        return value or None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values; another data folder brings its own local folder, unless one was set."""
        changed = dict(update or {})
        if "data_dir" in changed and "local_dir" not in {*changed, *self.model_fields_set}:
            changed["local_dir"] = _local_dir(changed)
        copied = super().model_copy(update=changed, deep=deep)
        if "local_dir" not in {*(update or {}), *self.model_fields_set}:
            copied.model_fields_set.discard("local_dir")
        return copied

    @property
    def landing_dir(self) -> Path:
        """Where files arrive: ``landing/<dataset>/dt=YYYY-MM-DD/``; a UPath, which acts as a Path, if it is a URL."""
        if self.landing_url is None:
            return self.data_dir / "landing"
        if "://" not in self.landing_url:
            return Path(self.landing_url).expanduser().absolute()
        return store_path(self.landing_url)

    @property
    def lake_dir(self) -> Path:
        """Where tables live: ``lake/<team>/<table>/``."""
        return self.data_dir / "lake"

    @property
    def reports_dir(self) -> Path:
        """Where pages for people live, the dashboard among them."""
        return self.data_dir / "reports"

    @property
    def published_dir(self) -> Path:
        """Where versions of the lists stand for the shop's backend, and the pointer to the one to read."""
        return self.publish_dir or self.data_dir / "published"

    @property
    def rules_digest(self) -> str:
        """Hash of the rules file, with which the lists are built again if it changes; ``none``, or ``unreadable``."""
        if self.rules_file is None:
            return "none"
        try:
            return hashlib.sha256(self.rules_file.read_bytes()).hexdigest()[:16]
        except OSError:
            return "unreadable"

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file of views for BI tools and data scientists."""
        return self.local_dir / "trasos.duckdb"

    @property
    def samples_dir(self) -> Path:
        """The sample that the asset ``samples`` takes."""
        return self.local_dir / "samples"

    @property
    def sample_key_file(self) -> Path:
        """The secret of samples where none is set; read by its owner only."""
        return self.local_dir / "sample.key"

    @property
    def erasure_key_file(self) -> Path:
        """The secret of erasures where none is set; read by its owner only."""
        return self.local_dir / "erasure.key"

    @property
    def dashboard_page(self) -> Path:
        """The page that ``kpi_dashboard`` writes."""
        return self.reports_dir / "dashboard" / "index.html"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance: runs, event log, schedules."""
        return self.local_dir / "dagster_home"


@functools.lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once; tests call ``get_settings.cache_clear()``."""
    return Settings()  # pyright: ignore[reportCallIssue] - every field has a default

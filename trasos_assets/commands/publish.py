"""``trasos publish``: the shop's lists as files, and in PostgreSQL."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from trasos_assets.commands.terminal import console, errors, fail, settings_of_a_store
from trasos_assets.printable import harmless


def publish(
    postgres: Annotated[
        str | None,
        typer.Option(
            metavar="DSN",
            help="PostgreSQL to publish to. Better by TRASOS_PUBLISH_POSTGRES: others see the words of a command.",
        ),
    ] = None,
) -> None:
    """Publish the shop's lists as they stand, as files and in PostgreSQL; nothing where they are published already."""
    settings = settings_of_a_store()
    with errors.status("opening the lake"):
        from trasos_assets.contracts.engineering import WATERMARK
        from trasos_assets.lake.engine import open_lake
        from trasos_assets.places import PlaceError, reaching
        from trasos_assets.publishing.files import PublishError
        from trasos_assets.publishing.publish import publish as carry_out

    if not settings.lake_dir.exists():
        raise fail(f"there is no lake in {settings.lake_dir} yet; run `trasos run` first")
    try:
        store = open_lake(settings)
        reached = store.read(WATERMARK).to_pyarrow().to_pylist()
        if not reached:
            raise PublishError("nothing has landed yet; run `trasos run` first")
        with errors.status("publishing"), reaching(settings.published_dir):
            done = carry_out(
                store,
                settings,
                reached[0]["data_through"],
                postgres=postgres,
                on_wait=lambda text: errors.print(f"[yellow]{escape(harmless(text))}[/]", soft_wrap=True),
            )
    except (PublishError, PlaceError) as error:
        raise fail(str(error)) from error
    rows = ", ".join(f"{count:,} {name}" for name, count in done.files.rows.items())
    console.print(
        f"{'published' if done.files.changed else 'stands already'}: version {done.files.version} "
        f"({rows}) in {done.files.folder}",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
    if done.postgres is not None:
        what = "swapped in" if done.postgres.changed else "shows it already"
        console.print(f"PostgreSQL, schema {settings.publish_schema}: {what}", markup=False, highlight=False)
        if done.postgres.left:
            errors.print(
                f"[yellow]still in use, dropped another time:[/] {escape(', '.join(done.postgres.left))}",
                soft_wrap=True,
            )

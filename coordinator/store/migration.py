"""Brings a database to the present schema, and refuses one that is not ours to touch."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from coordinator.store.errors import StoreError

APPLICATION_ID = 0x524B5631  # "RKV1"
_SCRIPTS = "coordinator.store:migrations"


def migrate(connection: Connection, path: Path) -> None:
    """Check that the database is sound and ours, then upgrade it. Raises `StoreError`."""
    _check_sound(connection, path)
    _check_ours(connection, path)
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    _check_version(connection, path, config)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")


def check_whole(connection: Connection, path: Path) -> None:
    """Check everything in the database against everything else. Raises `StoreError`."""
    _check_answer(path, connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one())
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if dangling is not None:
        _check_answer(
            path, f"a row of {dangling[0]} refers to a row of {dangling[2]} that is not there"
        )


def _check_sound(connection: Connection, path: Path) -> None:
    _check_answer(path, connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())


def _check_answer(path: Path, answer: str) -> None:
    if answer != "ok":
        raise StoreError(
            "database-corrupt",
            f"The database {path} is damaged ({answer}).",
            "Stop the coordinator and restore the file from a backup.",
        )


def _check_ours(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one()
    if found != APPLICATION_ID and tables:
        raise StoreError(
            "database-foreign",
            f"The database {path} belongs to another program.",
            "Correct state_directory in the settings.",
        )


def _check_version(connection: Connection, path: Path, config: Config) -> None:
    present = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise StoreError(
            "database-newer",
            f"The database {path} has schema {present}, which a newer coordinator wrote.",
            "Start that version or a newer one; this one would damage it.",
        )

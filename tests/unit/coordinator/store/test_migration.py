import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from coordinator.domain.commands import BY_VAULT
from coordinator.domain.control import VaultMode
from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import HostState
from coordinator.domain.policy_settings import PolicySettings
from coordinator.store import schema
from coordinator.store.database import Store
from coordinator.store.errors import StoreError
from coordinator.store.migration import APPLICATION_ID
from coordinator.store.migrations.versions import schema_0002

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def make(path: Path) -> None:
    store = Store(path)
    await store.open()
    await store.close()


def run(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


async def refused(path: Path) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await make(path)
    assert str(path) in caught.value.cause
    return caught.value


async def test_the_migrations_end_at_the_tables_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


async def test_a_number_of_an_event_is_never_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    add = (
        "INSERT INTO events (occurred_at, kind, subject, detail, actor, digest) "
        "VALUES (0, 'x', '', '', '', x'')"
    )
    run(path, add, add, "DELETE FROM events", add)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT number FROM events").fetchall() == [(3,)]
    connection.close()


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    before = path.read_bytes()
    await make(path)
    assert path.read_bytes()[100:] == before[100:]


async def test_a_database_of_a_newer_coordinator_is_refused_by_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    run(path, "UPDATE alembic_version SET version_num = '9999'")
    error = await refused(path)
    assert error.code == "database-newer"
    assert "9999" in error.cause
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    run(path, "CREATE TABLE recipes (name TEXT)")
    assert (await refused(path)).code == "database-foreign"
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]
    assert connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,)
    connection.close()


def make_first_schema(path: Path, *statements: str) -> None:
    """Leave the database as the first coordinator did."""
    config = Config()
    config.set_main_option("script_location", "coordinator.store:migrations")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
    engine.dispose()
    run(path, *statements)


HOST = "INSERT INTO hosts VALUES ('{id}', '{id}', '{site}', {at}, 'gold', 'qemu', '0.1', 'x:1', 5, NULL)"
OLD_ROWS = (
    "INSERT INTO vault VALUES ('v-1', 'home', 1000)",
    HOST.format(id="h1", site="a", at=3000),
    HOST.format(id="h2", site="b", at=4000),
    HOST.format(id="h3", site="a", at=2000),
    "INSERT INTO registration_keys VALUES ('k1', x'00', 'a', 1, 2, NULL, 3, 'h1', x'01', x'02')",
    "INSERT INTO policies VALUES ('p1', 'quick', 5, 6, 7)",
    "INSERT INTO protections VALUES ('pr1', 'm1', 'web', 'h1', 'h2', 'p1', 'protected', 4, 'gen', "
    "'j1', 8, NULL, NULL)",
    "INSERT INTO jobs VALUES ('j1', 'enable-protection', 'web', 'pr1', NULL, 'succeeded', '[]', 9, "
    "NULL, NULL, 10)",
    "INSERT INTO orders VALUES ('o1', 'j1', 'h2', 11, "
    """'{"clean-up-rehearsal":{"rehearsal_id":"r","protection_id":"pr1"}}', NULL, NULL)""",
)


async def test_an_old_vault_goes_on_with_everything_it_has(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    events = [
        f"INSERT INTO events VALUES ({at + 1}, {at}, 'host-invited', 's{at}', 'd')"  # noqa: S608
        for at in range(2 * schema_0002._BATCH + 7)
    ]
    gap = "DELETE FROM events WHERE number = 5"
    make_first_schema(path, *OLD_ROWS, "BEGIN", *events, gap, "COMMIT")
    store = Store(path)
    await store.open()
    head = await store.verify_history()
    assert head.number == len(events)
    async with store.read() as records:
        control = await records.control()
        assert (control.id, control.mode) == ("v-1", VaultMode.SERVING)
        assert (control.deny_list_version, control.reconciled_number) == (0, 0)
        assert control.mode_since == EPOCH + timedelta(milliseconds=1)
        sites = await records.sites.all()
        assert [(site.name, site.created_at) for site in sites] == [
            ("a", EPOCH + timedelta(milliseconds=2)),
            ("b", EPOCH + timedelta(milliseconds=4)),
        ]
        clouds = await records.clouds.all()
        assert sorted((cloud.site, cloud.name) for cloud in clouds) == [
            ("a", "gold"),
            ("b", "gold"),
        ]
        host = await records.hosts.get("h1")
        assert (host.state, host.start_count, host.run_id) == (HostState.ACTIVE, 0, "")
        key = await records.keys.get("k1")
        assert (key.host_id, key.readmits) == ("h1", None)
        protection = await records.protections.get("web")
        assert (protection.epoch_number, protection.grant_version) == (4, 0)
        assert (await records.jobs.get("j1")).cancel_requested_at is None
        (order,) = await records.all_open_orders()
        assert (order.id, order.withdrawn_at) == ("o1", None)
        assert await records.operators.all() == ()
        line = await records.history.line(head.number)
        assert line is not None
        assert (line.actor, line.subject) == ("vault", f"s{len(events) - 1}")
    async with store.write() as writing:
        event = Event(EPOCH, EventKind.HOST_INVITED, "new")
        await writing.save(Decision(events=(event,)), BY_VAULT)
    assert (await store.verify_history()).number == head.number + 1
    await store.close()


async def test_a_host_of_an_old_vault_offers_no_folder_until_it_tells(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    make_first_schema(path, *OLD_ROWS)
    store = Store(path)
    await store.open()
    async with store.read() as records:
        assert (await records.hosts.get("h1")).replica_folders == ()
        assert (await records.jobs.get("j1")).result is None
        assert await records.storage_mappings.all() == ()
    await store.close()


async def test_policies_and_protections_of_an_old_vault_go_on_as_they_did(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    make_first_schema(path, *OLD_ROWS)
    store = Store(path)
    await store.open()
    async with store.read() as records:
        policy = await records.policies.get("quick")
        plain = PolicySettings(policy.copy_frequency, policy.retention)
        assert policy.settings == plain
        protection = await records.protections.get("web")
        assert (protection.excluded_disk_ids, protection.seeds) == ((), ())
        assert (protection.storage_folder, protection.replica_path) == ("", "")
        assert not protection.is_paused
    await store.close()


async def test_a_test_failover_of_an_old_vault_ended_with_its_clean_up(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    rehearsal = (
        "INSERT INTO rehearsals (id, protection_id, job_id, state, generation, sequence, machine_name, nics, "
        "created_at, disks, steps, removed, notes, was_started) "
        "VALUES ('{id}', 'pr1', '{job}', '{state}', 'gen', 1, 'web', '[]', 1, '[]', '[]', '[]', '', 1)"
    )
    job = (
        "INSERT INTO jobs VALUES ('{id}', 'clean-up-test-failover', 'web', 'pr1', '{of}', '{state}', '[]', 9, "
        "NULL, NULL, 5000)"
    )
    make_first_schema(
        path,
        *OLD_ROWS,
        rehearsal.format(id="over", job="c1", state="cleaned-up"),
        job.format(id="c1", of="over", state="succeeded"),
        rehearsal.format(id="lost", job="gone", state="cleaned-up"),
        rehearsal.format(id="stuck", job="c2", state="failed"),
        job.format(id="c2", of="stuck", state="failed"),
    )
    store = Store(path)
    await store.open()
    async with store.read() as records:
        ends = {item.id: item.cleaned_up_at for item in await records.rehearsals.all()}
    assert ends == {"over": EPOCH + timedelta(milliseconds=5), "lost": None, "stuck": None}
    await store.close()


async def test_an_old_database_without_a_vault_goes_on_as_that(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    make_first_schema(path)
    store = Store(path)
    await store.open()
    async with store.read() as records:
        assert await records.vault() is None
        assert (await records.head()).number == 0
    await store.close()


async def test_a_migration_that_fails_leaves_the_old_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vault.db"
    make_first_schema(path, *OLD_ROWS)
    # A table of that name stops the migration in its middle.
    run(path, "CREATE TABLE clouds (x)")
    assert (await refused(path)).code == "database-failed"
    run(path, "DROP TABLE clouds")
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    columns = [row[1] for row in connection.execute("PRAGMA table_info(hosts)")]
    assert "start_count" not in columns
    connection.close()
    await make(path)


async def test_a_reference_to_nothing_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    await make(path)
    run(
        path,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO orders VALUES ('o', 'j', 'h', 1, '', NULL, NULL, NULL)",
    )
    store = Store(path)
    await store.open()
    with pytest.raises(StoreError, match="a row of orders refers") as caught:
        await store.check_integrity()
    assert caught.value.code == "database-corrupt"
    await store.close()

//! Opening and bringing up to date, by several processes at once.

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, Database};
use shared::State;
use store::{Lease, Store, StoreError, Vault};
use testkit::TestDatabase;

use crate::world::{ending, worlds};

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(url, Vault::none(), Lease::default()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_migrate_at_once_and_again() {
    for database in TestDatabase::each().await {
        let url = database.url();
        let start = async || {
            let store = open(url).await?;
            store.migrate().await?;
            store.ready().await?;
            store.migrate().await
        };
        let (a, b, c) = tokio::join!(start(), start(), start());
        a.and(b).and(c).unwrap();
    }
}

#[tokio::test]
async fn a_database_that_is_not_migrated_is_not_ready() {
    for database in TestDatabase::each().await {
        let store = open(database.url()).await.unwrap();
        let unready = store.ready().await;
        assert!(matches!(unready, Err(StoreError::NotMigrated)), "{unready:?}");
        store.migrate().await.unwrap();
        store.ready().await.unwrap();
        store.ready().await.unwrap();
        assert_eq!(store.server().is_some(), database.is_postgres());
    }
}

#[tokio::test]
async fn migrations_go_down_and_up_again() {
    for database in TestDatabase::each().await {
        let store = open(database.url()).await.unwrap();
        store.migrate().await.unwrap();
        let mut options = ConnectOptions::new(database.url());
        options.sqlx_logging(false);
        let sql = Database::connect(options).await.unwrap();
        Migrator::down(&sql, None).await.unwrap();
        Migrator::up(&sql, None).await.unwrap();
        open(database.url()).await.unwrap().ready().await.unwrap();
    }
}

#[tokio::test]
async fn a_process_goes_on_and_starts_beside_a_later_version() {
    for world in worlds().await {
        world.submit().await;
        let held = world.claim("r").await.unwrap().held;
        world.submit().await;
        let later = "INSERT INTO seaql_migrations (version, applied_at) \
                     VALUES ('m29991231_000001_later', 1)";
        world.execute(later).await.unwrap();
        for table in ["benchmark", "benchmark_event", "runner"] {
            let more = format!("ALTER TABLE {table} ADD COLUMN later text DEFAULT 'x'");
            world.execute(&more).await.unwrap();
        }
        // On the connections from before, which know their statements.
        world.store.finish(&held, ending(State::Completed)).await.unwrap();
        let held = world.claim("r").await.unwrap().held;
        world.store.give_back(&held).await.unwrap();
        let starting = world.another_store().await;
        starting.migrate().await.unwrap();
        starting.ready().await.unwrap();
        assert_eq!(starting.sweep().await.unwrap().lost, []);
    }
}

#[tokio::test]
async fn sqlite_writes_ahead_and_its_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/deep/er/benchmarks.db", folder.path().display());
    let store = open(&url).await.unwrap();
    store.migrate().await.unwrap();
    assert!(folder.path().join("deep/er/benchmarks.db-wal").exists());
    let relative = open("sqlite::memory:").await;
    assert!(matches!(relative, Err(StoreError::InMemory)), "{relative:?}");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_shows_no_password() {
    let unknown = open("mysql://root:canary@db/x").await.unwrap_err();
    assert!(matches!(unknown, StoreError::UnknownScheme(_)));
    let nobody = open("postgres://me:canary@127.0.0.1:1/x").await.unwrap_err();
    assert!(nobody.is_outage(), "{nobody:?}");
    let broken = open("postgres://me:canary@[/x").await.unwrap_err();
    assert!(matches!(broken, StoreError::InvalidUrl(_)));
    for error in [unknown, nobody, broken] {
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}

#[tokio::test]
async fn what_sqlalchemy_writes_is_understood() {
    if let Some(database) = TestDatabase::postgres().await {
        let url = database.url().replacen("postgres://", "postgresql+asyncpg://", 1);
        open(&url).await.unwrap().migrate().await.unwrap();
    }
}

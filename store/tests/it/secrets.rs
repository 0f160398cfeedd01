//! Keys of targets: sealed at rest, opened by the claim, gone after the end.

use sea_orm::{ConnectionTrait, Statement};
use secrecy::ExposeSecret;
use shared::{RunnerId, State};
use store::{Lease, SealedKeyError, Store, StoreError, Vault};

use crate::world::{World, ending, request, worlds};

const CANARY: &str = "sk-canary-7Jx2";

impl World {
    async fn submit_with_key(&self) -> shared::Benchmark {
        let port = 2_000 + self.count("SELECT count(*) FROM benchmark").await;
        let url = format!("http://llm.example:{port}");
        self.store.create(request(&[("url", &url), ("api_key", CANARY)])).await.unwrap()
    }

    async fn secrets(&self) -> i64 {
        self.count("SELECT count(*) FROM benchmark_secret").await
    }

    /// Everything that is stored, as text.
    async fn dump(&self) -> String {
        let (tables, row) = if self.database.is_postgres() {
            (
                "SELECT schemaname || '.' || tablename FROM pg_tables \
                 WHERE schemaname IN ('public', 'apalis')",
                "SELECT t::text FROM {} t",
            )
        } else {
            ("SELECT name FROM sqlite_master WHERE type = 'table'", "")
        };
        let mut dump = String::new();
        let all = async |sql: String| {
            self.sql.query_all_raw(Statement::from_string(self.backend(), sql)).await.unwrap()
        };
        let tables = all(tables.to_owned()).await;
        assert!(tables.len() > 6);
        for table in tables {
            let table: String = table.try_get_by_index(0).unwrap();
            if row.is_empty() {
                continue;
            }
            for stored in all(row.replace("{}", &table)).await {
                dump.push_str(&stored.try_get_by_index::<String>(0).unwrap());
                dump.push('\n');
            }
        }
        if let Some(file) = self.database.url().strip_prefix("sqlite://") {
            for file in [file.to_owned(), format!("{file}-wal")] {
                dump.push_str(&String::from_utf8_lossy(&std::fs::read(file).unwrap()));
            }
        }
        dump
    }
}

#[tokio::test]
async fn a_key_is_nowhere_in_the_clear() {
    // As PostgreSQL shows bytes.
    let hex = "736b2d63616e6172792d374a7832";
    assert!(
        CANARY
            .bytes()
            .enumerate()
            .all(|(at, byte)| hex[at * 2..].starts_with(&format!("{byte:02x}")))
    );
    for world in worlds().await {
        let submitted = world.submit_with_key().await;
        assert!(!serde_json::to_string(&submitted).unwrap().contains(CANARY));
        let dump = world.dump().await;
        assert!(dump.contains("llm.example:2000"), "the dump has what is stored");
        assert!(!dump.contains(CANARY) && !dump.contains(hex));
        assert_eq!(world.secrets().await, 1);
    }
}

#[tokio::test]
async fn the_claim_opens_the_key_and_every_end_deletes_it() {
    for world in worlds().await {
        let cancelled = world.submit_with_key().await.id;
        world.store.cancel(cancelled).await.unwrap();
        assert_eq!(world.secrets().await, 0);

        let deleted = world.submit_with_key().await.id;
        world.store.delete(deleted, true).await.unwrap();
        assert_eq!(world.secrets().await, 0);

        world.submit_with_key().await;
        let claim = world.claim("r").await.unwrap();
        assert_eq!(claim.api_key.unwrap().unwrap().expose_secret(), CANARY);
        assert_eq!(world.secrets().await, 1);
        world.store.finish(&claim.held, ending(State::Completed)).await.unwrap();
        assert_eq!(world.secrets().await, 0);

        world.submit_with_key().await;
        let held = world.claim("r").await.unwrap().held;
        world.store.load_starts(&held, "tiny").await.unwrap();
        world.expire(held.id).await;
        assert_eq!(world.store.sweep().await.unwrap().lost, [held.id]);
        assert_eq!(world.secrets().await, 0);
    }
}

#[tokio::test]
async fn a_run_that_goes_back_to_the_queue_keeps_its_key() {
    for world in worlds().await {
        world.submit_with_key().await;
        let held = world.claim("r").await.unwrap().held;
        world.store.give_back(&held).await.unwrap();
        let again = world.claim("r").await.unwrap();
        assert_eq!(again.api_key.unwrap().unwrap().expose_secret(), CANARY);
    }
}

#[tokio::test]
async fn without_a_master_key_no_key_is_taken() {
    for world in worlds().await {
        let url = world.database.url();
        let keyless = Store::open(url, Vault::none(), Lease::default()).await.unwrap();
        let new = || request(&[("url", "http://llm.example"), ("api_key", CANARY)]);
        let refused = keyless.create(new()).await;
        assert!(matches!(refused, Err(StoreError::NoMasterKey)), "{refused:?}");
        assert_eq!(world.count("SELECT count(*) FROM benchmark").await, 0);

        world.store.create(new()).await.unwrap();
        let claim = keyless.claim(&RunnerId("r".into()), 1_000).await.unwrap().unwrap();
        assert_eq!(claim.api_key.unwrap_err(), SealedKeyError::NoMasterKey);
    }
}

#[tokio::test]
async fn another_master_key_opens_nothing_and_says_so() {
    for world in worlds().await {
        let other = Vault::from_base64(&Vault::generate_base64()).unwrap();
        let other = Store::open(world.database.url(), other, Lease::default()).await.unwrap();
        world.submit_with_key().await;
        let claim = other.claim(&RunnerId("r".into()), 1_000).await.unwrap().unwrap();
        assert_eq!(claim.api_key.unwrap_err(), SealedKeyError::OtherMasterKey);
    }
}

#[tokio::test]
async fn a_key_moved_to_another_benchmark_does_not_open() {
    for world in worlds().await {
        let keyed = world.submit_with_key().await.id;
        let thief = world.submit().await.id;
        let moved = format!(
            "UPDATE benchmark_secret SET benchmark_id = {thief} WHERE benchmark_id = {keyed}"
        );
        world.execute(&moved).await.unwrap();
        assert!(world.claim("r").await.unwrap().api_key.unwrap().is_none());
        let claim = world.claim("r").await.unwrap();
        assert_eq!(claim.api_key.unwrap_err(), SealedKeyError::Damaged);
    }
}

#[tokio::test]
async fn a_key_that_waited_for_too_long_is_wiped_and_says_so() {
    for world in worlds().await {
        world.submit_with_key().await;
        world.execute("UPDATE benchmark_secret SET expires_at_ms = 1").await.unwrap();
        world.store.sweep().await.unwrap();
        let left = world.count("SELECT count(*) FROM benchmark_secret WHERE length(sealed) > 0");
        assert_eq!(left.await, 0);
        let claim = world.claim("r").await.unwrap();
        assert_eq!(claim.api_key.unwrap_err(), SealedKeyError::Expired);
    }
}

//! A database of one's own: a temporary SQLite file, or a PostgreSQL database made for one test
//! and dropped with it, also when the test panics.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use ulid::Ulid;
use url::Url;

/// Where a PostgreSQL server is that tests may make databases on; unset: they run on SQLite alone.
const SERVER: &str = "TEST_POSTGRES_URL";

/// An empty database, gone when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Sqlite {
        #[expect(dead_code, reason = "the folder lives as long as this does")]
        folder: TempDir,
    },
    Postgres {
        server: String,
        name: String,
    },
}

impl TestDatabase {
    /// An SQLite file.
    ///
    /// # Panics
    ///
    /// Where the temporary folder cannot be made.
    #[expect(clippy::unused_async, reason = "the same call as for PostgreSQL")]
    pub async fn sqlite() -> Self {
        let folder = TempDir::with_prefix("bench-").expect("a temporary folder can be made");
        let file = folder.path().join("benchmarks.db");
        Self { url: format!("sqlite://{}", file.display()), kept: Kept::Sqlite { folder } }
    }

    /// A PostgreSQL database; none where `TEST_POSTGRES_URL` is not set.
    ///
    /// # Panics
    ///
    /// Where it is set and the server does not make a database.
    pub async fn postgres() -> Option<Self> {
        let server = std::env::var(SERVER).ok().filter(|url| !url.trim().is_empty())?;
        Some(Self::on(server).await)
    }

    /// A database of the PostgreSQL server at this URL.
    ///
    /// # Panics
    ///
    /// Where the server does not make one.
    pub async fn on(server: String) -> Self {
        let mut url = Url::parse(&server).unwrap_or_else(|error| panic!("{SERVER}: {error}"));
        let name = format!("bench_test_{}", Ulid::generate().to_string().to_lowercase());
        tell(&server, format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await
            .unwrap_or_else(|error| panic!("{SERVER}: {error}"));
        url.set_path(&name);
        Self { url: url.into(), kept: Kept::Postgres { server, name } }
    }

    /// One of each kind there is.
    pub async fn each() -> Vec<Self> {
        let mut each = vec![Self::sqlite().await];
        each.extend(Self::postgres().await);
        each
    }

    /// What the database is opened with.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self.kept, Kept::Postgres { .. })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Kept::Postgres { server, name } = &self.kept else { return };
        let (server, name) = (server.clone(), name.clone());
        // The runtime around this may be the one that panics; so there is another.
        let dropping = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(sqlx::Error::Io)?
                .block_on(tell(&server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
        });
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("a test's database stays behind: {error}");
        }
    }
}

async fn tell(server: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(statement)).await?;
    connection.close().await
}

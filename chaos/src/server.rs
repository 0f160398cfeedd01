//! The PostgreSQL server that scripts/chaos started: killed, and brought back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::NamedTempFile;
use testkit::process::free_port;
use url::Url;

pub(crate) struct Server {
    data: PathBuf,
    ctl: Vec<String>,
}

impl Server {
    /// None where nobody said how it is stopped and started.
    pub(crate) fn of_environment() -> Option<Self> {
        let (data, ctl) =
            (std::env::var("POSTGRES_DATA").ok()?, std::env::var("POSTGRES_CTL").ok()?);
        let ctl = ctl.split_whitespace().map(str::to_owned).collect();
        Some(Self { data: data.into(), ctl })
    }

    /// Another one like it, made in `folder` with its log of changes in `changes`, and started; and
    /// the URL of its first database.
    pub(crate) fn another(&self, folder: &Path, changes: &Path) -> anyhow::Result<(Self, String)> {
        let (data, port) = (folder.join("data"), free_port());
        let at = self.ctl.iter().position(|word| word.ends_with("pg_ctl")).context("pg_ctl")?;
        let (owner, pg_ctl) = (&self.ctl[..at], &self.ctl[at]);
        let initdb = Path::new(pg_ctl).with_file_name("initdb").display().to_string();
        let mut words: Vec<String> = owner.to_vec();
        words.extend([initdb, "-D".to_owned(), data.display().to_string()]);
        // The smallest pieces there are, so that a new one is soon needed.
        let options = "-U postgres -A trust -E UTF8 --locale=C --no-sync --wal-segsize=1 -X";
        words.extend(options.split(' ').map(str::to_owned));
        words.push(changes.join("changes").display().to_string());
        let mut initdb = Command::new(&words[0]);
        let made = initdb.args(&words[1..]).current_dir(folder).output()?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut ctl = owner.to_vec();
        ctl.extend([pg_ctl.clone(), "-D".to_owned(), data.display().to_string()]);
        ctl.extend(["-l", "/dev/null", "-w"].map(str::to_owned));
        let server = Self { data, ctl };
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections=200 -c fsync=off \
             -c full_page_writes=off -c min_wal_size=2MB -c max_wal_size=8MB",
            folder.display()
        );
        server.tell(&["-o", &options, "start"])?;
        Ok((server, format!("postgres://postgres@127.0.0.1:{port}/postgres")))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.tell(&["status"]).is_ok()
    }

    /// Looks whether indexes and tables of the database at `url` agree.
    pub(crate) async fn is_whole(&self, url: &str) -> anyhow::Result<()> {
        let mut check = self.tool("pg_amcheck");
        check.args(["--install-missing", "--heapallindexed"]);
        check.arg(url);
        run(check).await
    }

    fn tell(&self, words: &[&str]) -> anyhow::Result<()> {
        let folder = self.data.parent().context("a folder")?;
        let mut command = Command::new(&self.ctl[0]);
        let done = command
            .args(&self.ctl[1..])
            .args(words)
            .current_dir(folder)
            .stdout(std::process::Stdio::null())
            .status()?;
        if !done.success() {
            bail!("pg_ctl {words:?}: {done}");
        }
        Ok(())
    }

    /// Kills every process of it, as if the machine had died.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let noted = fs::read_to_string(self.data.join("postmaster.pid"))?;
        let master: i32 = noted.lines().next().context("a process id")?.trim().parse()?;
        let children = children_of(master)?;
        kill(Pid::from_raw(master), Signal::SIGKILL)?;
        for child in children {
            // Some have left by themselves.
            _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        Ok(())
    }

    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        if self.is_running() { self.tell(&["-m", "immediate", "stop"]) } else { Ok(()) }
    }

    pub(crate) fn start(&self) -> anyhow::Result<()> {
        let noted = fs::read_to_string(self.data.join("postmaster.opts"))?;
        // `/path/postgres "-D" "…" "-p" "5432" …`
        let options: Vec<&str> = noted.split('"').skip(1).step_by(2).collect();
        let without_data = options.get(2..).unwrap_or_default().join(" ");
        // What was killed may still be about to go, and hold on to its memory or its port.
        for _ in 0..20 {
            if self.tell(&["-o", &without_data, "start"]).is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(250));
        }
        bail!("PostgreSQL does not start again")
    }

    /// A backup of the database at `url`, as SQL.
    pub(crate) async fn dump(&self, url: &str) -> anyhow::Result<NamedTempFile> {
        let backup = NamedTempFile::new()?;
        let mut dump = self.tool("pg_dump");
        dump.arg("--dbname").arg(url).arg("--file").arg(backup.path());
        run(dump).await?;
        Ok(backup)
    }

    /// Puts `backup` in the place of the database at `url`, after `then` was done to it: all see
    /// the one or the other.
    pub(crate) async fn restore(
        &self,
        url: &str,
        backup: &NamedTempFile,
        then: &str,
    ) -> anyhow::Result<()> {
        let mut server: Url = url.parse()?;
        let name = server.path().trim_start_matches('/').to_owned();
        let (old, new) = (format!("{name}_old"), format!("{name}_new"));
        server.set_path("postgres");
        let psql = |url: &Url| {
            let mut psql = self.tool("psql");
            psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname"]);
            psql.arg(url.as_str()).stdout(Stdio::null());
            psql
        };
        let tell = async |statements: &[String]| {
            let mut psql = psql(&server);
            for statement in statements {
                psql.arg("--command").arg(statement);
            }
            run(psql).await
        };
        tell(&[format!("CREATE DATABASE {new} TEMPLATE template0")]).await?;
        let mut fresh = server.clone();
        fresh.set_path(&new);
        let mut load = psql(&fresh);
        load.arg("--file").arg(backup.path()).arg("--command").arg(then);
        run(load).await?;
        tell(&[
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
            format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ),
            "SELECT pg_sleep(0.2)".to_owned(),
            format!("ALTER DATABASE {name} RENAME TO {old}"),
            format!("ALTER DATABASE {new} RENAME TO {name}"),
            format!("DROP DATABASE {old}"),
        ])
        .await
    }

    /// A program that came with the server: beside its own, wherever links to that may be.
    fn tool(&self, name: &str) -> Command {
        let ctl = self.ctl.iter().find(|word| word.ends_with("pg_ctl"));
        let beside = ctl.and_then(|ctl| Some(fs::canonicalize(ctl).ok()?.with_file_name(name)));
        Command::new(beside.filter(|tool| tool.exists()).unwrap_or_else(|| name.into()))
    }

    /// Ends its sessions and starts it anew, as an upgrade does.
    pub(crate) fn restart(&self) -> anyhow::Result<()> {
        self.tell(&["-m", "fast", "restart"])
    }
}

/// Runs it to its end, while everything else goes on.
async fn run(mut command: Command) -> anyhow::Result<()> {
    let ended = tokio::task::spawn_blocking(move || command.output()).await??;
    if !ended.status.success() {
        bail!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr));
    }
    Ok(())
}

fn children_of(parent: i32) -> anyhow::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(id) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        // `id (name) state parent …`
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        if fields.split(' ').nth(1) == Some(&parent.to_string()) {
            children.push(id);
        }
    }
    Ok(children)
}

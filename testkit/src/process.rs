//! The workspace's programs as real processes: the only way to test signals, exits and crashes.
//!
//! The programs are taken from beside the running test, `target/<profile>/`. `cargo nextest run
//! --workspace` and `cargo test --workspace` build them; for one crate alone, run
//! `cargo build --workspace` before, or yesterday's program is tested.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// Longest wait for anything a process should do. Only a broken one takes so long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program about to be started, in an empty directory of its own and with no settings but those
/// given here: nothing of the developer's environment reaches it.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    dir: TempDir,
}

impl Program {
    /// The program `name` of this workspace.
    ///
    /// # Panics
    ///
    /// If it has not been built.
    pub fn new(name: &str) -> Self {
        let path = path_of(name);
        assert!(path.exists(), "{} is missing: run `cargo build --workspace`", path.display());
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(path);
        command.env_clear().current_dir(dir.path()).kill_on_drop(true);
        // A second of every runner's start.
        command.env("SELF_TEST", "false");
        for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        Self { command, name: name.to_owned(), dir }
    }

    /// Adds words to the command line.
    #[must_use]
    pub fn args<Word: AsRef<str>>(mut self, words: impl IntoIterator<Item = Word>) -> Self {
        self.command.args(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// The directory it will run in; gone with the process.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn spawn(mut self) -> Process {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let (said, _) = watch::channel(0);
        let captured = Arc::new(Captured { lines: Mutex::default(), said });
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let readers = [
            tokio::spawn(read(stdout, Stream::Out, Arc::clone(&captured))),
            tokio::spawn(read(stderr, Stream::Err, Arc::clone(&captured))),
        ];
        Process { child, name: self.name, captured, readers, dir: self.dir }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Ended {
        self.spawn().wait().await
    }
}

fn path_of(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program knows its own path");
    // target/<profile>/deps/<test>, or target/<profile>/chaos
    let folder = own.parent().expect("a program lies in a folder");
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    profile.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// A port that was free a moment ago; for programs that cannot be told to choose one.
///
/// # Panics
///
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// A running process. Dropped, it is killed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    captured: Arc<Captured>,
    readers: [JoinHandle<()>; 2],
    dir: TempDir,
}

/// A process that has ended, and all it said.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// The exit code; none: a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

#[derive(Debug)]
struct Captured {
    lines: Mutex<Vec<(Stream, String)>>,
    /// How many lines there are.
    said: watch::Sender<usize>,
}

impl Captured {
    fn with<T>(&self, look: impl FnOnce(&[(Stream, String)]) -> T) -> T {
        look(&self.lines.lock().expect("no reader panics"))
    }

    fn of(&self, stream: Stream) -> String {
        self.with(|lines| {
            let of_stream = lines.iter().filter(|(of, _)| *of == stream);
            joined(of_stream)
        })
    }
}

fn joined<'a>(lines: impl Iterator<Item = &'a (Stream, String)>) -> String {
    lines.flat_map(|(_, line)| [line.as_str(), "\n"]).collect()
}

async fn read(from: impl AsyncRead + Unpin, stream: Stream, captured: Arc<Captured>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        captured.lines.lock().expect("no reader panics").push((stream, line));
        captured.said.send_modify(|said| *said += 1);
    }
}

impl Process {
    /// The first line on stdout or stderr that contains `words`, as soon as it is there.
    ///
    /// # Panics
    ///
    /// If the process ends, or a minute passes, without it; with all that it said.
    pub async fn line(&mut self, words: &str) -> String {
        let mut said = self.captured.said.subscribe();
        let found = async {
            loop {
                said.borrow_and_update();
                let line = self.captured.with(|lines| {
                    lines
                        .iter()
                        .find(|(_, line)| line.contains(words))
                        .map(|(_, line)| line.clone())
                });
                if let Some(line) = line {
                    return Some(line);
                }
                tokio::select! {
                    _ = said.changed() => {}
                    _ = self.child.wait() => {
                        // Its last words may still be in the pipe.
                        if timeout(Duration::from_secs(1), said.changed()).await.is_err() {
                            return None;
                        }
                    }
                }
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{} ended without `{words}`; it said:\n{}", self.name, self.said()),
            Err(elapsed) => {
                panic!("{} never said `{words}` ({elapsed}), but:\n{}", self.name, self.said())
            }
        }
    }

    /// The URL in the first line that contains `words`, without a slash at its end.
    ///
    /// # Panics
    ///
    /// If there is no such line, or no URL in it.
    pub async fn url(&mut self, words: &str) -> String {
        let line = self.line(words).await;
        let url = line
            .split(|c: char| c.is_whitespace() || c == '"')
            .find(|word| word.starts_with("http"));
        url.unwrap_or_else(|| panic!("no URL in `{line}`")).trim_end_matches(['/', ',']).to_owned()
    }

    /// Waits until `GET url` answers with a status of 2xx.
    ///
    /// # Panics
    ///
    /// If it does not within a minute.
    pub async fn answers(&self, url: &str) {
        let answered = async {
            while get(url).await.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = timeout(PATIENCE, answered).await;
        assert!(done.is_ok(), "{} never answered at {url}; it said:\n{}", self.name, self.said());
    }

    /// Process id.
    ///
    /// # Panics
    ///
    /// If it has been waited for.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process has not been waited for")
    }

    /// Everything it has said, stdout and stderr as they came.
    pub fn said(&self) -> String {
        self.captured.with(|lines| joined(lines.iter()))
    }

    /// The directory it runs in.
    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Asks it to end, as a service manager does (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Asks it to end, as Ctrl-C does (SIGINT).
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Kills it as a crash would (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Stops it without ending it (SIGSTOP), as a machine that hangs.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).expect("process ids are small");
        signal::kill(Pid::from_raw(id), signal).expect("the process is there");
    }

    /// How it ended, as soon as it has.
    ///
    /// # Panics
    ///
    /// If the system does not say.
    pub async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.expect("the process can be waited for")
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end within two minutes.
    pub async fn wait(mut self) -> Ended {
        let Ok(status) = timeout(2 * PATIENCE, self.child.wait()).await else {
            panic!("{} does not end; it said:\n{}", self.name, self.said());
        };
        for reader in &mut self.readers {
            // Something it started may still hold the pipe.
            _ = timeout(Duration::from_secs(1), reader).await;
        }
        let status = status.expect("the process can be waited for");
        let (stdout, stderr) = (self.captured.of(Stream::Out), self.captured.of(Stream::Err));
        Ended { status, stdout, stderr }
    }
}

/// The body of `GET url`; none, where there is no answer, its status is none of 2xx, or it is no
/// text.
pub async fn get(url: &str) -> Option<String> {
    let (status, body) = answer(url).await?;
    if (200..300).contains(&status) { String::from_utf8(body).ok() } else { None }
}

/// Status and body of whatever `GET url` is answered with; none, where there is no answer. A plain
/// HTTP/1.0 client: one that needs TLS set up has no place here.
pub async fn answer(url: &str) -> Option<(u16, Vec<u8>)> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?;
    let mut stream = TcpStream::connect((host, url.port_or_known_default()?)).await.ok()?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_off(end + 4)))
}

//! The REST API from outside: what a person's commands ask of a server.

use std::{io::Write, time::Duration};

use anyhow::Context as _;
use clap::Args;
use futures::StreamExt as _;
use reqwest::{Method, RequestBuilder, StatusCode, Url, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use shared::{Aborted, Benchmark, BenchmarkId, QueueState, Runner, request::Fields};

use crate::{failure::Failure, requests::Format};

/// Most characters of an answer that is none of ours to repeat.
const EXCERPT: usize = 200;
/// A million rows over a slow line take their time.
const LONGEST_DOWNLOAD: Duration = Duration::from_hours(6);

/// Which server, and who asks.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The LLM Benchmark API to talk to
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000")]
    pub(crate) server: String,
    /// Name and password for it, as NAME:PASSWORD [default: `API_USERNAME` and `API_PASSWORD`]
    #[arg(long, value_name = "NAME:PASSWORD")]
    user_auth: Option<SecretString>,
    /// Bearer token for it
    #[arg(long, value_name = "TOKEN", env = "API_TOKEN", hide_env_values = true)]
    token: Option<SecretString>,
    #[arg(long, env = "API_USERNAME", hide = true)]
    api_username: Option<String>,
    #[arg(long, env = "API_PASSWORD", hide = true, hide_env_values = true)]
    api_password: Option<SecretString>,
}

#[derive(Debug)]
enum Credentials {
    Nobody,
    Basic(String, SecretString),
    Bearer(SecretString),
}

/// A server that can be asked.
#[derive(Debug)]
pub(crate) struct Server {
    base: Url,
    http: reqwest::Client,
    credentials: Credentials,
}

/// A benchmark, and the JSON it was read from.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) benchmark: Box<Benchmark>,
    /// The resource as the API gave it.
    pub(crate) json: String,
}

/// A page of benchmarks.
#[derive(Debug, Deserialize)]
pub(crate) struct Listed {
    pub(crate) results: Vec<Benchmark>,
    pub(crate) total: u64,
}

#[derive(Debug, Deserialize)]
struct Runners {
    results: Vec<Runner>,
}

impl Server {
    /// The server that `args` name; nothing is asked yet.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let credentials = match (&args.user_auth, &args.token, &args.api_username) {
            (Some(both), ..) => match both.expose_secret().split_once(':') {
                Some((name, password)) => Credentials::Basic(name.into(), password.into()),
                None => {
                    return Err(Failure::Usage("--user-auth must be NAME:PASSWORD".into()));
                }
            },
            (None, Some(token), _) => Credentials::Bearer(token.clone()),
            (None, None, Some(name)) => {
                let password = args.api_password.clone().unwrap_or_default();
                Credentials::Basic(name.clone(), password)
            }
            (None, None, None) => Credentials::Nobody,
        };
        Self::at(&args.server, credentials)
    }

    /// A server of our own, which asks nobody for a name.
    pub(crate) fn own(url: &str) -> Result<Self, Failure> {
        Self::at(url, Credentials::Nobody)
    }

    fn at(url: &str, credentials: Credentials) -> Result<Self, Failure> {
        let invalid = |cause: String| Failure::Usage(format!("--server {url}: {cause}"));
        let base = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(invalid("must start with http:// or https://".into()));
        }
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            // Mostly this is our own machine, where a proxy variable only gets in the way.
            .no_proxy()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(90))
            .user_agent(concat!("llm-bench/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::Other(error.into()))?;
        Ok(Self { base, http, credentials })
    }

    /// Asks for a benchmark.
    pub(crate) async fn submit(&self, asked: &Fields) -> Result<Read, Failure> {
        let request = self.request(Method::POST, "api/v1/benchmarks/run").json(asked);
        // A server with COMPAT_BLOCKING_RUN would hold the answer back until the run is over.
        self.read(request.header("Prefer", "respond-async")).await
    }

    /// Reads a benchmark; with `wait_s`, as soon as it is over, or after so many seconds.
    pub(crate) async fn get(&self, id: BenchmarkId, wait_s: u32) -> Result<Read, Failure> {
        let request = self.request(Method::GET, &format!("api/v1/benchmarks/{id}"));
        let request = if wait_s > 0 { request.query(&[("wait", wait_s)]) } else { request };
        self.read(request).await
    }

    /// The newest benchmarks in any state.
    pub(crate) async fn list(&self, page: u32, limit: u32) -> Result<Listed, Failure> {
        let page = [("page", page.to_string()), ("limit", limit.to_string())];
        let request = self.request(Method::GET, "api/v1/benchmarks/");
        let request = request.query(&[("status", "all")]).query(&page);
        Ok(self.answer(request).await?.0)
    }

    /// Asks for a benchmark's end.
    pub(crate) async fn cancel(&self, id: BenchmarkId) -> Result<Read, Failure> {
        self.read(self.request(Method::POST, &format!("api/v1/benchmarks/{id}/cancel"))).await
    }

    /// How the queue stands, and the JSON that says so.
    pub(crate) async fn queue(&self) -> Result<(QueueState, String), Failure> {
        self.answer(self.request(Method::GET, "api/v1/queue")).await
    }

    /// Pauses the queue or one target; how it stands then.
    pub(crate) async fn pause(
        &self,
        target: Option<&str>,
    ) -> Result<(QueueState, String), Failure> {
        let request = self.request(Method::POST, "api/v1/queue/pause");
        self.answer(request.query(&[("target", target)])).await
    }

    /// Ends such a pause; how the queue stands then.
    pub(crate) async fn resume(
        &self,
        target: Option<&str>,
    ) -> Result<(QueueState, String), Failure> {
        let request = self.request(Method::POST, "api/v1/queue/resume");
        self.answer(request.query(&[("target", target)])).await
    }

    /// Cancels everything that waits and asks everything active to stop.
    pub(crate) async fn abort(&self) -> Result<Aborted, Failure> {
        let request = self.request(Method::POST, "api/v1/queue/abort");
        Ok(self.answer(request.query(&[("running", true)])).await?.0)
    }

    /// The runners of late, and the JSON they were read from.
    pub(crate) async fn runners(&self) -> Result<(Vec<Runner>, String), Failure> {
        let (listed, json): (Runners, _) =
            self.answer(self.request(Method::GET, "api/v1/runners")).await?;
        Ok((listed.results, json))
    }

    /// Asks a runner to take up nothing more.
    pub(crate) async fn drain(&self, id: &str) -> Result<Runner, Failure> {
        let id = id.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let path = format!("api/v1/runners/{id}/drain");
        Ok(self.answer(self.request(Method::POST, &path)).await?.0)
    }

    /// Writes the rows of a benchmark's requests to `out`, as they come.
    pub(crate) async fn download(
        &self,
        id: BenchmarkId,
        format: Format,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let request = self.request(Method::GET, &format!("api/v1/benchmarks/{id}/requests"));
        let request = request.query(&[("format", format.word())]).timeout(LONGEST_DOWNLOAD);
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if !status.is_success() {
            let body = answer.text().await.map_err(|error| self.unreachable(error))?;
            return Err(self.refused(status, &body));
        }
        let mut bytes = answer.bytes_stream();
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|error| self.unreachable(error))?;
            out.write_all(&piece).context("cannot write the requests")?;
        }
        out.flush().context("cannot write the requests")?;
        Ok(())
    }

    /// Whether the server says it can work.
    pub(crate) async fn is_ready(&self) -> bool {
        let asked = self.request(Method::GET, "readyz").send().await;
        asked.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, below(&self.base, path));
        match &self.credentials {
            Credentials::Nobody => request,
            Credentials::Basic(name, password) => {
                request.basic_auth(name, Some(password.expose_secret()))
            }
            Credentials::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }

    async fn read(&self, request: RequestBuilder) -> Result<Read, Failure> {
        let (benchmark, json) = self.answer(request).await?;
        Ok(Read { benchmark, json })
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<(T, String), Failure> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| self.unreachable(error))?;
        if status.is_success() {
            return match serde_json::from_str(&body) {
                Ok(read) => Ok((read, body)),
                Err(error) => {
                    Err(Failure::Unreadable { server: self.name(), cause: error.to_string() })
                }
            };
        }
        Err(self.refused(status, &body))
    }

    fn name(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let cause = daemon::causes(&error.without_url());
        Failure::Unreachable { server: self.name(), cause }
    }

    fn refused(&self, status: StatusCode, body: &str) -> Failure {
        match serde_json::from_str(body) {
            Ok(problem) => Failure::Refused(problem),
            Err(_) => Failure::Answered {
                server: self.name(),
                status: status.as_u16(),
                excerpt: body.trim().chars().take(EXCERPT).collect(),
            },
        }
    }
}

/// `path` below `base`, whose own path is kept.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// Reads a benchmark's number.
pub(crate) fn benchmark_id(text: &str) -> Result<BenchmarkId, String> {
    let number = text.parse().ok().filter(|number: &i64| *number > 0);
    number.map(BenchmarkId).ok_or_else(|| "must be a benchmark's number, from 1 up".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_path_is_kept() {
        for base in ["http://127.0.0.1:1/bench/", "http://127.0.0.1:1/bench"] {
            let url = below(&base.parse().unwrap(), "readyz");
            assert_eq!(url.as_str(), "http://127.0.0.1:1/bench/readyz");
        }
    }

    #[test]
    fn a_server_must_be_a_url() {
        for url in ["127.0.0.1:8000", "ftp://x"] {
            assert!(Server::own(url).unwrap_err().to_string().contains(url));
        }
    }
}

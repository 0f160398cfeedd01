//! The client: asks for benchmarks, asks again with the same key where no answer came, and keeps
//! what was promised to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use serde_json::{Value, json};

/// Longest wait for an API that answers.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
}

/// What an API said.
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Which edition the text is of.
    pub(crate) etag: Option<HeaderValue>,
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.text).with_context(|| self.text.clone())
    }
}

impl Client {
    pub(crate) fn new() -> Self {
        let http = reqwest::Client::builder()
            // A new connection for each request: whatever breaks, breaks one request.
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a client");
        Self { http }
    }

    /// One that keeps its connections, and says who it is.
    pub(crate) fn lasting(token: &str) -> Self {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a header");
        bearer.set_sensitive(true);
        let http = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, bearer)]))
            .timeout(Duration::from_mins(30))
            .build()
            .expect("a client");
        Self { http }
    }

    pub(crate) async fn get(&self, url: &str) -> anyhow::Result<Said> {
        self.get_unless(url, None).await
    }

    /// The same for one that has a copy already.
    pub(crate) async fn get_unless(
        &self,
        url: &str,
        copy: Option<HeaderValue>,
    ) -> anyhow::Result<Said> {
        let request = self.http.get(url);
        let request = match copy {
            Some(copy) => request.header(IF_NONE_MATCH, copy),
            None => request,
        };
        said(request.send().await?).await
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        body: &Value,
        key: Option<&str>,
    ) -> anyhow::Result<Said> {
        let mut request = self.http.post(url).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        said(request.send().await?).await
    }

    /// Asks one API after another for a benchmark, with one key, until one accepts; its id and how
    /// often it was asked.
    pub(crate) async fn submit(
        &self,
        apis: &[String],
        target: &str,
        fields: Value,
        key: &str,
    ) -> anyhow::Result<(i64, u32)> {
        let mut asked = json!({"url": target, "user": 2, "spawnrate": 100, "duration": 2, "grace": 1,
            "max_tokens": 4, "min_tokens": 0, "timeout_connect": 2, "timeout_first_token": 2,
            "api_key": "sk-canary", "notes": key, "scrape": false});
        let Value::Object(fields) = fields else { bail!("fields are an object") };
        let asked = asked.as_object_mut().expect("an object");
        asked.extend(fields);
        if asked.contains_key("rate") {
            asked.retain(|name, _| !matches!(name.as_str(), "user" | "spawnrate"));
        }
        let asked = Value::Object(std::mem::take(asked));
        let begun = Instant::now();
        for turn in 0.. {
            let api = &apis[turn % apis.len()];
            match self.post(&format!("{api}/api/v1/benchmarks"), &asked, Some(key)).await {
                Ok(said) if said.status == 202 => {
                    let id = said.json()?["id"].as_i64().context("an id")?;
                    return Ok((id, u32::try_from(turn + 1)?));
                }
                Ok(said) if said.status < 500 => bail!("{}: {}", said.status, said.text),
                outcome if begun.elapsed() > PATIENCE => {
                    let what = outcome.map(|said| format!("{}: {}", said.status, said.text));
                    bail!("no API takes `{key}`: {what:?}");
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        unreachable!("turns do not end")
    }

    /// The benchmark when it is over, from whichever API answers.
    pub(crate) async fn ended(&self, apis: &[String], id: i64) -> anyhow::Result<Value> {
        let begun = Instant::now();
        for turn in 0.. {
            let url = format!("{}/api/v1/benchmarks/{id}", apis[turn % apis.len()]);
            let read = self.get(&url).await;
            if let Ok(said) = &read
                && said.status == 200
            {
                let benchmark = said.json()?;
                let status: shared::State = serde_json::from_value(benchmark["status"].clone())?;
                if status.is_terminal() {
                    return Ok(benchmark);
                }
            }
            if begun.elapsed() > PATIENCE {
                let last = read.map(|said| format!("{}: {:.300}", said.status, said.text));
                bail!("benchmark {id} never ends: {last:?}");
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        unreachable!("turns do not end")
    }

    /// The states that an API tells of as they happened.
    pub(crate) async fn told(&self, api: &str, id: i64) -> anyhow::Result<Vec<(i64, String)>> {
        let said = self.get(&format!("{api}/api/v1/benchmarks/{id}/events")).await?;
        let mut told = Vec::new();
        for event in said.text.split("\n\n").filter(|event| event.contains("event: state")) {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            let data: Value = serde_json::from_str(data.context("an event has data")?)?;
            let status = data["status"].as_str().context("a status")?.to_owned();
            told.push((data["seq"].as_i64().context("a number")?, status));
        }
        Ok(told)
    }
}

async fn said(answer: reqwest::Response) -> anyhow::Result<Said> {
    let (status, etag) = (answer.status().as_u16(), answer.headers().get(ETAG).cloned());
    Ok(Said { status, etag, text: answer.text().await? })
}

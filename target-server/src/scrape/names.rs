//! What servers call their queue, their batch and their cache.

use super::{Gauges, Server, exposition};

/// The names of one server's figures. A `_` stands for a `:` too: some versions and gateways write
/// `vllm_…` for `vllm:…`.
struct Names {
    server: Server,
    running: &'static [&'static str],
    queue: &'static [&'static str],
    /// A share, 0 to 1. The first that is there counts.
    kv_cache: &'static [&'static str],
    prefix_hits: &'static [&'static str],
    prefix_queries: &'static [&'static str],
    /// A share that the server makes itself.
    hit_rate: &'static [&'static str],
}

const KNOWN: &[Names] = &[
    // vllm/v1/metrics/loggers.py; `gpu_` are the names up to 0.10.
    Names {
        server: Server::Vllm,
        running: &["vllm_num_requests_running"],
        queue: &["vllm_num_requests_waiting"],
        kv_cache: &["vllm_kv_cache_usage_perc", "vllm_gpu_cache_usage_perc"],
        prefix_hits: &["vllm_prefix_cache_hits_total", "vllm_gpu_prefix_cache_hits_total"],
        prefix_queries: &["vllm_prefix_cache_queries_total", "vllm_gpu_prefix_cache_queries_total"],
        hit_rate: &[],
    },
    // sglang/srt/metrics/collector.py, with --enable-metrics.
    Names {
        server: Server::Sglang,
        running: &["sglang_num_running_reqs"],
        queue: &["sglang_num_queue_reqs"],
        kv_cache: &["sglang_token_usage"],
        prefix_hits: &[],
        prefix_queries: &[],
        hit_rate: &["sglang_cache_hit_rate"],
    },
    // llama.cpp's server, with --metrics; newer ones tell nothing of the cache.
    Names {
        server: Server::LlamaCpp,
        running: &["llamacpp_requests_processing"],
        queue: &["llamacpp_requests_deferred"],
        kv_cache: &["llamacpp_kv_cache_usage_ratio"],
        prefix_hits: &[],
        prefix_queries: &[],
        hit_rate: &[],
    },
    // text-generation-inference, docs/source/reference/metrics.md.
    Names {
        server: Server::Tgi,
        running: &["tgi_batch_current_size"],
        queue: &["tgi_queue_size"],
        kv_cache: &[],
        prefix_hits: &[],
        prefix_queries: &[],
        hit_rate: &[],
    },
];

/// Sum, and number of terms.
#[derive(Clone, Copy, Default)]
struct Sum {
    of: f64,
    terms: u32,
}

/// What a text says, and whose words these are; none: no known server's.
pub(super) fn read(text: &str) -> Option<(Server, Gauges)> {
    KNOWN.iter().find_map(|names| {
        let running = sum(text, names.running);
        let queue = sum(text, names.queue);
        running.or(queue)?;
        let total = |sum: Option<Sum>| sum.map(|sum| sum.of);
        let mean = |sum: Option<Sum>| sum.map(|sum| sum.of / f64::from(sum.terms));
        let gauges = Gauges {
            queue: total(queue),
            running: total(running),
            kv_cache: mean(sum(text, names.kv_cache)),
            prefix_hits: total(sum(text, names.prefix_hits)),
            prefix_queries: total(sum(text, names.prefix_queries)),
            hit_rate: mean(sum(text, names.hit_rate)),
        };
        Some((names.server, gauges))
    })
}

/// Over the engines of one server: each has a line of its own.
fn sum(text: &str, names: &[&str]) -> Option<Sum> {
    names.iter().find_map(|name| {
        let sum = exposition::samples(text)
            .filter(|sample| is(sample.name, name) && sample.value.is_finite())
            // Ranks of one engine repeat what the first of them says.
            .filter(|sample| {
                ["tp_rank", "pp_rank"]
                    .iter()
                    .all(|rank| matches!(sample.label(rank), None | Some("0")))
            })
            .fold(Sum::default(), |sum, sample| Sum {
                of: sum.of + sample.value,
                terms: sum.terms + 1,
            });
        (sum.terms > 0).then_some(sum)
    })
}

fn is(written: &str, name: &str) -> bool {
    written.len() == name.len()
        && written.bytes().zip(name.bytes()).all(|(w, n)| w == n || (w == b':' && n == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Server, Gauges) {
        read(text).unwrap_or_else(|| panic!("nobody's: {text}"))
    }

    #[test]
    fn vllm_is_read_old_and_new() {
        let new = r#"
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 12.0
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 3.0
vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.9
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 400.0
vllm:prefix_cache_hits_created{engine="0",model_name="m"} 1.7e9
"#;
        let wanted = Gauges {
            queue: Some(3.0),
            running: Some(12.0),
            kv_cache: Some(0.25),
            prefix_hits: Some(400.0),
            prefix_queries: Some(1_000.0),
            hit_rate: None,
        };
        assert_eq!(of(new), (Server::Vllm, wanted));
        let old = "vllm:num_requests_running 1\nvllm:num_requests_waiting 0\nvllm:gpu_cache_usage_perc 0.5";
        let (server, gauges) = of(old);
        assert_eq!((server, gauges.kv_cache, gauges.queue), (Server::Vllm, Some(0.5), Some(0.0)));
    }

    #[test]
    fn engines_add_up_and_their_caches_are_averaged() {
        let text = r#"
vllm:num_requests_running{engine="0"} 4
vllm:num_requests_running{engine="1"} 6
vllm:kv_cache_usage_perc{engine="0"} 0.2
vllm:kv_cache_usage_perc{engine="1"} 0.4
"#;
        let (_, gauges) = of(text);
        assert_eq!((gauges.running, gauges.queue), (Some(10.0), None));
        assert!((gauges.kv_cache.unwrap() - 0.3).abs() < 1e-9);
    }

    #[test]
    fn sglang_is_read_and_its_ranks_count_once() {
        let text = r#"
sglang:num_running_reqs{model_name="m",tp_rank="0",pp_rank="0"} 8
sglang:num_running_reqs{model_name="m",tp_rank="1",pp_rank="0"} 8
sglang:num_queue_reqs{model_name="m",tp_rank="0",pp_rank="0"} 4
sglang:token_usage{model_name="m",tp_rank="0",pp_rank="0"} 0.52
sglang:cache_hit_rate{model_name="m",tp_rank="0",pp_rank="0"} 0.28
"#;
        let wanted = Gauges {
            queue: Some(4.0),
            running: Some(8.0),
            kv_cache: Some(0.52),
            hit_rate: Some(0.28),
            ..Gauges::default()
        };
        assert_eq!(of(text), (Server::Sglang, wanted));
        assert_eq!(of("sglang_num_running_reqs 2").1.running, Some(2.0));
    }

    #[test]
    fn llama_cpp_and_tgi_are_read_as_far_as_they_tell() {
        let (server, gauges) =
            of("llamacpp:requests_processing 4\nllamacpp:requests_deferred 46\n");
        assert_eq!((server, gauges.kv_cache), (Server::LlamaCpp, None));
        assert_eq!((gauges.running, gauges.queue), (Some(4.0), Some(46.0)));
        let older = "llamacpp:kv_cache_usage_ratio 0.75\nllamacpp:requests_processing 1\n";
        assert_eq!(of(older).1.kv_cache, Some(0.75));
        let (server, gauges) = of("tgi_batch_current_size 4\ntgi_queue_size 7\n");
        assert_eq!((server, gauges.running, gauges.queue), (Server::Tgi, Some(4.0), Some(7.0)));
    }

    #[test]
    fn nobody_s_figures_are_none() {
        let others =
            ["", "<html>", "process_cpu_seconds_total 1\nhttp_requests_total{path=\"/\"} 7"];
        assert!(others.iter().all(|text| read(text).is_none()));
        assert_eq!(read("vllm:num_requests_running NaN"), None);
    }
}

//! The figures put together into the report.

use shared::{
    Report, Timestamp,
    report::{Concurrency, Distribution, Environment, Validity, Window},
};

use super::{
    recorder::{Instrument, Pacing, Recorder},
    throughput::throughput,
    validity::{Evidence, judge},
    window::Steady,
};
use crate::sample::Micros;

pub(super) fn assemble(
    recorder: &Recorder,
    instrument: &Instrument,
    environment: Environment,
    started_at: Timestamp,
    now_us: Micros,
) -> Report {
    let plan = &recorder.plan;
    let counted = recorder.counted;
    let measured_us = recorder.last_end_us.max(now_us);
    let counted_us = counted.length_us(measured_us);
    let steady = match plan.pacing {
        Pacing::Answers | Pacing::Stages { .. } if !plan.think_time => {
            recorder.in_flight.steady(plan.users, measured_us)
        }
        Pacing::Answers | Pacing::Stages { .. } | Pacing::Schedule { .. } => {
            Steady::by_plan(plan.warmup_us(), plan.sending_us(), measured_us)
        }
        Pacing::Burst => None,
    };
    let steady = steady.and_then(|steady| counted.cut(steady));
    let requests = recorder.tally.requests();
    let latency = recorder.latencies.latency();
    let tokens = recorder.tokens.tokens();
    let validity = validity(
        recorder,
        instrument,
        &Evidence {
            requests: &requests,
            tokens: &tokens,
            partly_counted_input: recorder.tokens.partly_counted_input(),
            ignore_eos: plan.ignore_eos,
            users: plan.users,
            sending_us: plan.sending_us(),
            stopped: recorder.stopped.as_ref(),
            pacing: plan.pacing,
            taken_up_in_time: recorder.taken_up_in_time,
            steady: steady.is_some(),
            stamp_source: instrument.stamp_source,
            schedule_lag_p99_ms: recorder.schedule_lag.quantile(990),
            loop_lag_p99_ms: instrument.loop_lag.quantile(990),
            begun_late_ms: instrument.begun_late_ms,
            stamp_lag_p99_ms: instrument.stamp_lag.quantile(990),
            usual_ttft_ms: latency.ttft_ms.as_ref().map(usual),
            usual_itl_ms: latency.itl_ms.as_ref().map(usual),
            cpu_share: instrument.load_thread_cpu_share,
            coalesced_share: recorder.tally.coalesced_share(),
            itl_raw_share: latency.itl_raw_share,
            early_stopping: recorder.latencies.early_stopping(),
        },
    );
    let left_out = counted.left_out_s();
    let goodput = recorder.goodput.as_ref();
    let goodput = goodput.map(|goodput| goodput.figures(counted_us, requests.dropped));
    Report {
        window: Window {
            started_at,
            warmup_s: seconds(plan.warmup_us()),
            measured_s: seconds(measured_us),
            steady_from_s: steady.map(|window| f64::from(window.from_s)),
            steady_s: steady.map(|window| f64::from(window.seconds())),
            left_out_warmup_s: f64::from(left_out.0),
            left_out_cooldown_s: f64::from(left_out.1),
            counted_s: counted.seconds().map(|_| seconds(counted_us)),
        },
        requests,
        failures: recorder.tally.failures(),
        finish_reasons: recorder.tally.finish_reasons(),
        latency,
        token_speed_per_s: recorder.latencies.token_speed(),
        output_token_rate_per_s: recorder.latencies.output_token_rate(),
        throughput: throughput(
            recorder.series.served(counted.seconds()),
            counted_us,
            steady.map(|window| (window, recorder.series.served(Some(window)))),
            recorder.tokens.input_is_whole(),
        ),
        tokens,
        concurrency: Concurrency {
            mean: mean(recorder.in_flight.total_us(), measured_us),
            peak: recorder.in_flight.peaks().0,
        },
        validity,
        environment,
        goodput,
        aliases: recorder.aliases.figures(),
        stopped: recorder.stopped.clone(),
        target_metrics: None,
        recorded: None,
        targets: recorder.shares.figures(),
    }
}

/// The median; the mean where half of the values are 0, as of gaps within one read.
fn usual(figure: &Distribution) -> f64 {
    if figure.p50 > 0.0 { figure.p50 } else { figure.mean }
}

fn validity(recorder: &Recorder, instrument: &Instrument, evidence: &Evidence<'_>) -> Validity {
    let (verdict, reasons) = judge(evidence);
    Validity {
        verdict,
        reasons,
        stamp_source: instrument.stamp_source,
        stamp_lag_ms: instrument.stamp_lag.distribution(),
        schedule_lag_ms: recorder.schedule_lag.distribution(),
        loop_lag_ms: instrument.loop_lag.distribution(),
        begun_late_ms: instrument.begun_late_ms,
        coalesced_share: evidence.coalesced_share,
        cpu_share: instrument.load_thread_cpu_share,
        process_cpu_share: instrument.process_cpu_share,
        connections_opened: recorder.tally.connections_opened(),
        reused_share: recorder.tally.reused_share(),
        early_stopping: Some(evidence.early_stopping.clone()),
    }
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn seconds(us: Micros) -> f64 {
    us as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "request-microseconds of one run")]
fn mean(total_us: u64, length_us: Micros) -> f64 {
    if length_us == 0 { 0.0 } else { total_us as f64 / length_us as f64 }
}

#[cfg(test)]
mod tests;

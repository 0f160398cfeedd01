//! How many users this runner takes in one run: as its settings say, else as it finds that it can
//! bear.

use daemon::causes;
use shared::{Capacity, MOST_OF_A_RUNNER};

use crate::Settings;

/// What a runner offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Offer {
    /// Most users of one run.
    pub(crate) max_users: u32,
    /// What the self-test found; none: there was none.
    pub(crate) measured: Option<Capacity>,
}

impl Offer {
    /// What this runner offers; measured with `instrument`, where it is to be.
    pub(crate) async fn find(settings: &Settings, instrument: &loadgen::Settings) -> Self {
        let measured = if settings.self_test { measured(instrument).await } else { None };
        let offer = Self::of(settings.runner_max_users, measured, loadgen::socket_capacity());
        tracing::info!("this runner takes up to {} users in one run", offer.max_users);
        offer
    }

    /// What was set by hand goes first; else as many as are measured and have sockets.
    fn of(by_hand: Option<u32>, measured: Option<Capacity>, sockets: u64) -> Self {
        let bearable = measured.map_or(MOST_OF_A_RUNNER, |measured| measured.streams);
        let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
        let max_users = by_hand.unwrap_or_else(|| bearable.min(sockets).clamp(1, MOST_OF_A_RUNNER));
        Self { max_users, measured }
    }
}

async fn measured(instrument: &loadgen::Settings) -> Option<Capacity> {
    tracing::info!("self-test: measuring what this machine bears");
    match loadgen::capacity::measure(instrument).await {
        Ok(measured) => {
            let Capacity { streams, events_per_s, cpu_us_per_event } = measured;
            tracing::info!(
                streams,
                events_per_s,
                "self-test: an event takes {cpu_us_per_event:.1} us of CPU time"
            );
            Some(measured)
        }
        Err(error) => {
            tracing::warn!(error = %causes(&error), "self-test: nothing was measured");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hand_goes_before_the_measure_and_that_before_the_contracts_most() {
        let measured = |streams| Capacity { streams, events_per_s: 1, cpu_us_per_event: 1.0 };
        let users = |by_hand, streams: Option<u32>, sockets| {
            Offer::of(by_hand, streams.map(measured), sockets).max_users
        };
        assert_eq!(users(Some(7), Some(3_000), 100), 7);
        assert_eq!(users(None, Some(3_000), u64::MAX), 3_000);
        assert_eq!(users(None, Some(3_000), 896), 896);
        assert_eq!(users(None, Some(50_000), u64::MAX), 10_000);
        assert_eq!(users(None, None, u64::MAX), 10_000);
        assert_eq!(users(None, None, 0), 1);
    }
}

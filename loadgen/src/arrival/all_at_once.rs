//! Requests that are all due at the start.

use shared::AllAtOnce;

use crate::sample::Micros;

/// Due times: the origin, once for each request.
pub(super) fn due_times(load: &AllAtOnce) -> impl Iterator<Item = Micros> + use<> {
    (0..load.requests.get()).map(|_| 0)
}

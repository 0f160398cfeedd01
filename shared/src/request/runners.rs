//! How many runners make a load together, as a client asks for it.

use super::reader::Reader;
use crate::{Load, Runners};

impl Reader<'_> {
    /// No more than there are requests open at once: a runner without one would only be in the way.
    pub(super) fn runners(&mut self, load: &Load) -> Option<Runners> {
        let runners: Runners = self.optional("runners")?;
        let (asked, most) = (runners.get(), load.peak_users().get());
        if asked > most {
            let open = "the requests open at once (`user`, `max_concurrency`)";
            self.refuse(
                "runners",
                format!("runners must be at most {open}, which are {most}, not {asked}"),
            );
            return None;
        }
        Some(runners)
    }
}

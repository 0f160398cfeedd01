//! How many runners make a load together, as a client asks for it.

use super::reader::Reader;
use crate::{Load, Runners};

impl Reader<'_> {
    /// No more than there are requests open at once: a runner without one would only be in the way.
    /// And no fewer than can make them.
    pub(super) fn runners(&mut self, load: &Load) -> Option<Runners> {
        let runners: Option<Runners> = self.optional("runners");
        let of = runners.map_or_else(|| load.least_runners(), Runners::get);
        if let Err(too_large) = load.is_shared_by(of) {
            let found = runners.is_some() && load.is_shared_by(load.least_runners()).is_ok();
            let or = if found { ", or leave runners out" } else { "" };
            let takes = too_large.takes;
            self.refuse(too_large.field, format!("{too_large}; ask for runners={takes}{or}"));
            return None;
        }
        let runners = runners?;
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

//! What is to be counted, what counts as good, and what is bad enough to stop.

use super::{reader::Reader, valid};
use crate::{DurationS, MarginS, Margins, Slo, SloMs, SloPreset, Stops};

impl Reader<'_> {
    /// The limits of an answer: those of the preset, where one is named, and over them those given
    /// one by one; none: neither.
    pub(super) fn slo(&mut self) -> Option<Slo> {
        let preset: Option<SloPreset> = self.parsed("slo");
        let (ttft_ms, tpot_ms) = (self.limit("slo_ttft_ms"), self.limit("slo_tpot_ms"));
        let (itl_ms, e2e_ms) = (self.limit("slo_itl_ms"), self.limit("slo_e2e_ms"));
        if let (Some(ttft), Some(e2e)) = (ttft_ms, e2e_ms) {
            self.ordered("slo_ttft_ms", &ttft.get(), "slo_e2e_ms", &e2e.get());
        }
        let slo = Slo {
            preset: preset.map(|preset| preset.name.to_owned()),
            ttft_ms: ttft_ms.or(preset.map(|preset| valid(preset.ttft_ms))),
            tpot_ms: tpot_ms.or(preset.map(|preset| valid(preset.tpot_ms))),
            itl_ms,
            e2e_ms,
        };
        slo.has_limits().then_some(slo)
    }

    /// What ends the run before its time; none: nothing does.
    pub(super) fn stops(&mut self) -> Option<Stops> {
        let stops = Stops {
            max_error_rate: self.optional("max_error_rate"),
            on_overload: self.flag("stop_on_overload", false),
        };
        stops.any().then_some(stops)
    }

    fn limit(&mut self, name: &'static str) -> Option<SloMs> {
        let given = self.given.get(name).is_some_and(|value| !value.is_null());
        given.then(|| self.number(name, valid(SloMs::MAX)))
    }

    /// What is left out at both ends; something must be left of `duration`.
    pub(super) fn margins(&mut self, duration: DurationS) -> Margins {
        let none = Margins::default();
        let margins = Margins {
            warmup_s: self.number("warmup", none.warmup_s),
            cooldown_s: self.number("cooldown", none.cooldown_s),
        };
        let (warmup, cooldown): (MarginS, MarginS) = (margins.warmup_s, margins.cooldown_s);
        if warmup.get() + cooldown.get() >= duration.get() {
            let name = if warmup.get() == 0 { "cooldown" } else { "warmup" };
            self.refuse(
                name,
                format!(
                    "warmup and cooldown must leave something of duration, but {} + {} >= {}",
                    warmup.get(),
                    cooldown.get(),
                    duration.get()
                ),
            );
        }
        margins
    }
}

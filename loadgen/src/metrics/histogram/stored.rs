//! Histograms as they are stored: HDR V2, and the whole numbers that are kept beside it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hdrhistogram::serialization::{
    DeserializeError, Deserializer, Serializer, V2DeflateSerializer, V2Serializer,
};
use serde::{Deserialize, Serialize, de, ser};
use shared::report::{HistogramUnit, HistogramV2};

use super::Histogram;

/// Why a stored histogram cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableHistogram {
    /// It is not in base64.
    #[error("`hdr_v2` is not base64")]
    Base64(#[from] base64::DecodeError),
    /// It is not HDR V2.
    #[error("`hdr_v2` is not an HDR V2 histogram")]
    Hdr(#[from] DeserializeError),
    /// A sum that is no whole number.
    #[error("`{0}` is not a whole number")]
    Sum(&'static str),
    /// Its parts are not of the same samples.
    #[error("`n` says {told}, and `hdr_v2` holds {held}")]
    Count {
        /// What the number beside it says.
        told: u64,
        /// What the histogram says.
        held: u64,
    },
}

impl Histogram {
    /// This one to be stored; none where it is empty.
    pub fn stored(&self, unit: HistogramUnit) -> Option<HistogramV2> {
        if self.n == 0 {
            return None;
        }
        let mut bytes = Vec::new();
        // Fails only for counts beyond 2^63, and a vector takes whatever is written.
        V2DeflateSerializer::new().serialize(&self.buckets, &mut bytes).ok()?;
        Some(HistogramV2 {
            unit,
            n: self.n,
            sum: self.sum.to_string(),
            sum_of_squares: self.sum_of_squares.to_string(),
            min: Some(self.min),
            max: Some(self.max),
            hdr_v2: STANDARD.encode(bytes),
        })
    }

    /// The histogram that was stored as `stored`.
    pub fn restored(stored: &HistogramV2) -> Result<Self, UnreadableHistogram> {
        let bytes = STANDARD.decode(&stored.hdr_v2)?;
        let mut buckets = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice())?;
        buckets.auto(true);
        let sum = |name, digits: &str| digits.parse().map_err(|_| UnreadableHistogram::Sum(name));
        if buckets.len() != stored.n {
            return Err(UnreadableHistogram::Count { told: stored.n, held: buckets.len() });
        }
        Ok(Self {
            buckets,
            n: stored.n,
            sum: sum("sum", &stored.sum)?,
            sum_of_squares: sum("sum_of_squares", &stored.sum_of_squares)?,
            min: stored.min.unwrap_or(u64::MAX),
            max: stored.max.unwrap_or(0),
        })
    }
}

/// Everything a histogram is, between two processes of ours: HDR V2, count, sum, sum of squares,
/// least and greatest.
#[derive(Serialize, Deserialize)]
struct Sent(Vec<u8>, u64, u128, u128, u64, u64);

impl Serialize for Histogram {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        if self.n > 0 {
            V2Serializer::new().serialize(&self.buckets, &mut bytes).map_err(ser::Error::custom)?;
        }
        let Self { n, sum, sum_of_squares, min, max, .. } = *self;
        Sent(bytes, n, sum, sum_of_squares, min, max).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent(bytes, n, sum, sum_of_squares, min, max) = Sent::deserialize(deserializer)?;
        let mut histogram = Self::new();
        if n > 0 {
            let buckets = Deserializer::new().deserialize(&mut bytes.as_slice());
            histogram.buckets = buckets.map_err(de::Error::custom)?;
            histogram.buckets.auto(true);
        }
        if histogram.buckets.len() != n {
            let (told, held) = (n, histogram.buckets.len());
            return Err(de::Error::custom(UnreadableHistogram::Count { told, held }));
        }
        Ok(Self { n, sum, sum_of_squares, min, max, ..histogram })
    }
}

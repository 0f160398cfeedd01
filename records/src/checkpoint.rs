//! What makes a whole file of one whose writer is gone.

use bytes::Bytes;

use crate::{Layout, RecordsError, Tail};

/// Bytes of a number as [`Checkpoint::to_bytes`] puts it.
const NUMBER: usize = size_of::<u64>();

/// What a file lacked at one moment while it was written: its first `length` bytes, which do not
/// change any more, and `tail` after them are a file of all rows until then.
///
/// The tail holds the rows that wait for their group to be full, so checkpoints leave no trace in
/// the file itself, and one is never larger than a row group and the list of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many bytes of the file count.
    pub length: u64,
    /// What belongs after them.
    pub tail: Bytes,
}

impl Checkpoint {
    /// How many bytes the whole file has.
    pub fn whole_length(&self) -> u64 {
        self.length.saturating_add(self.tail.len() as u64)
    }

    /// How many rows the whole file has.
    ///
    /// # Errors
    ///
    /// Where it would be none of ours, or contradict itself.
    pub fn rows(&self) -> Result<u64, RecordsError> {
        let Tail::Whole(layout) = Layout::read(&self.tail, self.whole_length())? else {
            return Err(RecordsError::Malformed);
        };
        for group in 0..layout.groups() {
            layout.range(group)?;
        }
        Ok(layout.rows())
    }

    /// As it is kept: a check sum of all the rest, the length, both little-endian, and the tail.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = self.length.to_le_bytes();
        let sum = check_sum(length.iter().chain(&self.tail)).to_le_bytes();
        [&sum, &length, self.tail.as_ref()].concat()
    }

    /// What was kept as `bytes`; none where they are not what [`Self::to_bytes`] gave.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (sum, rest) = bytes.split_first_chunk::<NUMBER>()?;
        let (length, _) = rest.split_first_chunk::<NUMBER>()?;
        if check_sum(rest) != u64::from_le_bytes(*sum) {
            return None;
        }
        let length = u64::from_le_bytes(*length);
        Some(Self { length, tail: Bytes::from(bytes).slice(2 * NUMBER..) })
    }
}

/// FNV-1a, 64 bits: against disks and accidents, not against people.
///
/// Source: Fowler, Noll, Vo, draft-eastlake-fnv.
fn check_sum<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_nothing_that_has_changed_since() {
        let checkpoint = Checkpoint { length: 1_000, tail: Bytes::from_static(b"the rest") };
        let kept = checkpoint.to_bytes();
        assert_eq!(Checkpoint::from_bytes(kept.clone()), Some(checkpoint));
        for at in 0..kept.len() {
            assert_eq!(Checkpoint::from_bytes(kept[..at].to_vec()), None, "{at} bytes of it");
            let mut changed = kept.clone();
            changed[at] ^= 0x10;
            assert_eq!(Checkpoint::from_bytes(changed), None, "with byte {at} changed");
        }
        assert_eq!(Checkpoint::from_bytes([&kept[..], b"x"].concat()), None, "with one more");
    }

    #[test]
    fn the_check_sum_is_the_published_one() {
        assert_eq!(check_sum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(check_sum(b"foobar"), 0x8594_4171_f739_67e8);
    }
}

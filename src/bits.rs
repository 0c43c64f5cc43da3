//! A little-endian bit stream: the first bit written is bit 0 of byte 0.

/// Reads what [`BitWriter`] wrote. Every read past the end is `None`.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits already read.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The next `count` bits (at most 64), the first read lowest.
    #[inline(always)]
    pub(crate) fn bits(&mut self, count: u32) -> Option<u64> {
        debug_assert!(count <= 64);
        let end = self.position.checked_add(count as usize)?;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let value = match self.bytes.get(self.position / 8..) {
            // Eight bytes hold so few bits wherever they start.
            Some(rest) if count <= 56 && rest.len() >= 8 => {
                let window = rest.first_chunk().map_or(0, |w| u64::from_le_bytes(*w));
                window >> (self.position % 8)
            }
            _ => self.peek(),
        };
        self.position = end;
        Some(value & u64::MAX.checked_shr(64 - count).unwrap_or(0))
    }

    /// The next 64 bits; beyond the end, zeros stand in.
    #[inline]
    pub(crate) fn peek(&self) -> u64 {
        // Sixteen bytes hold any 64 bits wherever they start.
        let rest = self.bytes.get(self.position / 8..).unwrap_or_default();
        let window = rest
            .first_chunk()
            .copied()
            .unwrap_or_else(|| std::array::from_fn(|i| rest.get(i).map_or(0, |b| *b)));
        (u128::from_le_bytes(window) >> (self.position % 8)) as u64
    }

    /// Takes bits that were looked at; beyond the end, all further reads are `None`.
    #[inline]
    pub(crate) fn skip(&mut self, count: u32) {
        self.position = self.position.saturating_add(count as usize);
    }

    /// A number in unary: ones, ended by a zero. `None` past `limit` ones, below 64.
    pub(crate) fn unary(&mut self, limit: u32) -> Option<u32> {
        let value = self.peek().trailing_ones();
        (value <= limit).then_some(value)?;
        self.bits(value + 1).map(|_| value)
    }

    /// Whether all has been read but for the zeros that fill up the last byte.
    pub(crate) fn is_finished(&self) -> bool {
        let Some(left) = (self.bytes.len() * 8).checked_sub(self.position) else {
            return false;
        };
        left < 8 && self.clone().bits(left as u32) == Some(0)
    }
}

/// Writes a bit stream.
#[cfg(feature = "encode")]
#[derive(Clone, Debug, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not yet in `bytes`, the oldest lowest; fewer than 8 between calls.
    pending: u128,
    count: u32,
}

#[cfg(feature = "encode")]
impl BitWriter {
    /// Appends the low `count` bits (at most 64) of `value`.
    pub(crate) fn bits(&mut self, value: u64, count: u32) {
        debug_assert!(count == 64 || value < 1 << count);
        self.pending |= u128::from(value) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Appends `value` ones and a zero.
    pub(crate) fn unary(&mut self, value: u32) {
        for _ in 0..value {
            self.bits(1, 1);
        }
        self.bits(0, 1);
    }

    /// Bits written.
    pub(crate) fn len(&self) -> u64 {
        8 * self.bytes.len() as u64 + u64::from(self.count)
    }

    /// The bytes, the last one filled up with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.bytes.push(self.pending as u8);
        }
        self.bytes
    }
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(fields in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..100)) {
            let mut writer = BitWriter::default();
            let cut = |value: u64, count: u32| value & u64::MAX.checked_shr(64 - count).unwrap_or(0);
            fields.iter().for_each(|&(value, count)| writer.bits(cut(value, count), count));
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for &(value, count) in &fields {
                prop_assert_eq!(reader.bits(count), Some(cut(value, count)));
            }
            prop_assert_eq!(reader.clone().bits(8), None);
            prop_assert!(reader.is_finished());
        }
    }

    #[test]
    fn leftovers_are_seen() {
        let finished = |bytes: &[u8], count| {
            let mut reader = BitReader::new(bytes);
            reader.bits(count);
            reader.is_finished()
        };
        assert!(finished(&[], 0));
        assert!(finished(&[0x0f], 4));
        assert!(!finished(&[0x1f], 4));
        assert!(!finished(&[0x0f, 0], 8));
        assert!(!finished(&[0], 0));
    }
}

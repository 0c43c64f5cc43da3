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
    pub(crate) fn bits(&mut self, count: u32) -> Option<u64> {
        debug_assert!(count <= 64);
        let end = self.position.checked_add(count as usize)?;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let (mut value, mut got) = (0u64, 0u32);
        while got < count {
            let offset = (self.position % 8) as u32;
            let take = (8 - offset).min(count - got);
            let byte = u64::from(self.bytes[self.position / 8]) >> offset;
            value |= (byte & ((1 << take) - 1)) << got;
            got += take;
            self.position += take as usize;
        }
        Some(value)
    }

    /// A number in unary: ones, ended by a zero. `None` past `limit` ones.
    pub(crate) fn unary(&mut self, limit: u32) -> Option<u32> {
        let mut value = 0;
        while self.bits(1)? == 1 {
            value += 1;
            if value > limit {
                return None;
            }
        }
        Some(value)
    }

    /// Bytes that have been touched, the last one perhaps in part.
    pub(crate) fn bytes_read(&self) -> usize {
        self.position.div_ceil(8)
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

//! `.wcodec` files byte by byte: their parts, their checksums, and files made by hand.

use serde_json::{Value, json};
use std::ops::Range;
use twox_hash::XxHash3_64;

pub const MAGIC: [u8; 8] = *b"\x89WCDC\r\n\x1a";
const PREFIX: usize = 32;
const ALIGNMENT: usize = 128;
/// Fixed part of a head, and an entry of its chunk table.
const HEAD: usize = 16;
const ENTRY: usize = 16;

pub fn xxh3(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i])) as usize
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Where the parts of a valid file lie.
pub struct Layout {
    pub index: Range<usize>,
    /// The kept header, and the place of its checksum's digits in the index.
    pub source: Option<(Range<usize>, usize)>,
    pub tensors: Vec<Payload>,
}

pub struct Payload {
    pub name: String,
    pub head: Range<usize>,
    pub parameters: Range<usize>,
    pub chunks: Vec<Range<usize>>,
}

impl Layout {
    pub fn of(bytes: &[u8]) -> Self {
        let index = PREFIX..PREFIX + u32_at(bytes, 16);
        let json: Value = serde_json::from_slice(&bytes[index.clone()]).unwrap();
        let at = |v: &Value| v.as_u64().unwrap() as usize;
        let source = json.get("source").map(|s| {
            let start = at(&s["header"][0]);
            let digits = s["checksum"].as_str().unwrap().as_bytes();
            let found = bytes.windows(16).position(|w| w == digits).unwrap();
            (start..start + at(&s["header"][1]), found)
        });
        let tensors = json["tensors"].as_array().unwrap().iter().map(|t| {
            let start = at(&t["data"][0]);
            let head = start..start + at(&t["data"][2]);
            let mut next = head.end;
            let count = u32_at(bytes, start + 8);
            let parameters = start + HEAD + count * ENTRY;
            let parameters = parameters..parameters + u32_at(bytes, start + 12);
            let chunks = (0..count).map(|i| {
                let chunk = next..next + u32_at(bytes, start + HEAD + i * ENTRY);
                next = start + (chunk.end - start).next_multiple_of(16);
                chunk
            });
            let chunks = chunks.collect();
            Payload {
                name: t["name"].as_str().unwrap().into(),
                head,
                parameters,
                chunks,
            }
        });
        let tensors = tensors.collect();
        Self { index, source, tensors }
    }

    /// Makes every checksum right for the bytes that are there now, so that what is behind the
    /// checksums is reached.
    pub fn reseal(&self, bytes: &mut [u8]) {
        for t in &self.tensors {
            for (i, chunk) in t.chunks.iter().enumerate() {
                let sum = xxh3(&bytes[chunk.clone()]);
                put_u64(bytes, t.head.start + HEAD + i * ENTRY + 8, sum);
            }
            let sum = xxh3(&bytes[t.head.start + 8..t.head.end]);
            put_u64(bytes, t.head.start, sum);
        }
        if let Some((header, digits)) = &self.source {
            let sum = format!("{:016x}", xxh3(&bytes[header.clone()]));
            bytes[*digits..digits + 16].copy_from_slice(sum.as_bytes());
        }
        let sum = xxh3(&bytes[self.index.clone()]);
        put_u64(bytes, 24, sum);
    }

    /// Whether a checksum covers this byte, or a parser reads it.
    pub fn is_guarded(&self, byte: usize) -> bool {
        byte < PREFIX
            || self.index.contains(&byte)
            || self.source.as_ref().is_some_and(|(header, _)| header.contains(&byte))
            || self
                .tensors
                .iter()
                .any(|t| t.head.contains(&byte) || t.chunks.iter().any(|c| c.contains(&byte)))
    }
}

/// A file made by hand: what no encoder writes.
#[derive(Clone)]
pub struct Hand {
    pub major: u16,
    pub minor: u16,
    pub index: Value,
    body: Vec<u8>,
}

/// Where the payloads of a hand-made file start.
const BODY: usize = 16 << 10;

impl Hand {
    pub fn new() -> Self {
        let index = json!({ "wcodec": { "version": "1.0", "writer": "by hand" }, "tensors": [] });
        Self {
            major: 1,
            minor: 0,
            index,
            body: Vec::new(),
        }
    }

    /// Adds a tensor of chunks `(bytes, escapes)`, with every checksum right but for the digest.
    pub fn tensor(
        mut self,
        name: &str,
        dtype: &str,
        shape: &[u64],
        recipe: &str,
        parameters: &[u8],
        chunks: &[(&[u8], u32)],
    ) -> Self {
        let offset = self.body.len().next_multiple_of(ALIGNMENT);
        self.body.resize(offset, 0);
        let head = head(chunks, parameters);
        self.body.extend(&head);
        for (bytes, _) in chunks {
            self.body.extend(*bytes);
            let padded = offset + (self.body.len() - offset).next_multiple_of(16);
            self.body.resize(padded, 0);
        }
        let entry = json!({
            "name": name,
            "dtype": dtype,
            "shape": shape,
            "recipe": recipe,
            "data": [BODY + offset, self.body.len() - offset, head.len()],
            "digest": "0".repeat(64),
        });
        self.index["tensors"].as_array_mut().unwrap().push(entry);
        self
    }

    /// The index's entry of the last tensor, to spoil.
    pub fn last(&mut self) -> &mut Value {
        self.index["tensors"].as_array_mut().unwrap().last_mut().unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(&self.index).unwrap();
        assert!(json.len() <= BODY - PREFIX, "the index outgrew its room");
        json.resize(BODY - PREFIX, b' ');
        let mut out = with_index(&json);
        out[8..10].copy_from_slice(&self.major.to_le_bytes());
        out[10..12].copy_from_slice(&self.minor.to_le_bytes());
        out.extend(&self.body);
        out
    }
}

/// A prefix and this index, of which the checksum is right.
pub fn with_index(json: &[u8]) -> Vec<u8> {
    let mut out = vec![0; PREFIX];
    out[..8].copy_from_slice(&MAGIC);
    out[8] = 1;
    put_u64(&mut out, 16, json.len() as u64);
    put_u64(&mut out, 24, xxh3(json));
    out.extend(json);
    out
}

fn head(chunks: &[(&[u8], u32)], parameters: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.extend((chunks.len() as u32).to_le_bytes());
    out.extend((parameters.len() as u32).to_le_bytes());
    for (bytes, escapes) in chunks {
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend(escapes.to_le_bytes());
        out.extend(xxh3(bytes).to_le_bytes());
    }
    out.extend(parameters);
    out.resize(out.len().next_multiple_of(16), 0);
    let sum = xxh3(&out[8..]);
    put_u64(&mut out, 0, sum);
    out
}

/// Bits as the format packs them: the first one lowest.
#[derive(Default)]
pub struct Bits {
    bits: Vec<bool>,
}

impl Bits {
    pub fn bits(mut self, value: u64, count: u32) -> Self {
        self.bits.extend((0..count).map(|i| value >> i & 1 == 1));
        self
    }

    fn unary(mut self, ones: u32) -> Self {
        self.bits.extend((0..ones).map(|_| true));
        self.bits.push(false);
        self
    }

    /// A frequency table of symbols `first, first + 1, …`.
    pub fn table(mut self, first: u64, frequencies: &[u64]) -> Self {
        self = self.bits(first, 8).bits(first + frequencies.len() as u64 - 1, 8);
        let mut before = 0i64;
        for &f in frequencies {
            let length = i64::from(u64::BITS - f.leading_zeros());
            let step = length - before;
            self = self.unary(if step > 0 { 2 * step - 1 } else { -2 * step } as u32);
            self = self.bits(f, length.max(1) as u32 - 1);
            before = length;
        }
        self
    }

    pub fn finish(self) -> Vec<u8> {
        self.bits
            .chunks(8)
            .map(|b| b.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit)))
            .collect()
    }
}

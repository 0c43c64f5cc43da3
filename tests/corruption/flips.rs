//! Every bit of a file, one after the other, with and without checksums that catch it.

use crate::support::data::Rng;
use crate::support::judge::{self, decode_some, judge};
use crate::support::sample::{self, Sample};

/// Without optimisation a part must do.
const STEP: usize = if cfg!(debug_assertions) { 37 } else { 1 };

/// The tensor whose payload holds a byte; `None` in prefix, index and kept header.
fn hit(sample: &Sample, byte: usize) -> Option<&str> {
    let mut tensors = sample.layout.tensors.iter();
    let hit = tensors.find(|t| t.head.contains(&byte) || t.chunks.iter().any(|c| c.contains(&byte)));
    hit.map(|t| t.name.as_str())
}

fn flipped(sample: &Sample, bit: usize) -> Vec<u8> {
    let mut bytes = sample.bytes.clone();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Flips bits that no checksum vouches for afterwards: what is guarded must not decode.
fn unsealed(sample: &Sample, bit: usize) {
    let bytes = flipped(sample, bit);
    let name = hit(sample, bit / 8);
    let opened = decode_some(&bytes, |n| name.is_none_or(|name| name == n));
    if !sample.layout.is_guarded(bit / 8) {
        let results = opened.expect("padding is not read");
        assert!(results.iter().all(|(_, r)| r.is_ok()));
        return;
    }
    // The minor version says nothing to a reader.
    if (10..12).contains(&(bit / 8)) {
        return assert!(opened.is_ok());
    }
    match (opened, name) {
        (Err(_), None) => {}
        (Ok(results), Some(name)) => assert!(results.iter().all(|(n, r)| n == name && r.is_err()), "bit {bit}"),
        (Ok(_), None) => {
            let decoder = judge::open(bytes, wcodec::Backend::Scalar).unwrap();
            judge::check_error(&decoder.source_header().expect_err("the kept header has a checksum"));
        }
        (Err(e), Some(name)) => panic!("bit {bit} of {name} keeps the file from opening: {e}"),
    }
}

fn sealed(sample: &Sample, bit: usize) {
    let mut bytes = flipped(sample, bit);
    sample.layout.reseal(&mut bytes);
    let name = hit(sample, bit / 8);
    judge(sample, &bytes, true, |n| name.is_none_or(|name| name == n));
}

#[test]
fn every_bit_of_a_small_file_under_old_checksums() {
    let sample = sample::small();
    (0..8 * sample.bytes.len())
        .step_by(STEP)
        .for_each(|bit| unsealed(sample, bit));
}

#[test]
fn every_bit_of_a_small_file_under_new_checksums() {
    let sample = sample::small();
    (0..8 * sample.bytes.len())
        .step_by(STEP)
        .for_each(|bit| sealed(sample, bit));
}

#[test]
fn many_bits_of_a_rich_file() {
    many_bits(sample::rich());
}

#[test]
fn many_bits_of_levels() {
    many_bits(sample::quantised());
}

fn many_bits(sample: &Sample) {
    let mut rng = Rng::new(11);
    let heads: Vec<usize> = sample.layout.tensors.iter().flat_map(|t| t.head.clone()).collect();
    for round in 0..1500 / STEP.min(10) {
        // Heads are what parsers read most of, and little of the file.
        let byte = match round % 2 {
            0 => rng.below(sample.bytes.len() as u64) as usize,
            _ => heads[rng.below(heads.len() as u64) as usize],
        };
        let bit = 8 * byte + rng.below(8) as usize;
        unsealed(sample, bit);
        sealed(sample, bit);
    }
}

#[test]
fn bursts_and_swaps() {
    let sample = sample::small();
    let mut rng = Rng::new(12);
    let len = sample.bytes.len() as u64;
    for round in 0..3000 / STEP.min(10) {
        let mut bytes = sample.bytes.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(len) as usize;
            let n = (rng.below(40) as usize).min(bytes.len() - at);
            match rng.below(3) {
                0 => bytes[at..at + n].fill([0, 0xff, 0x80][rng.below(3) as usize]),
                1 => bytes[at..at + n].iter_mut().for_each(|b| *b = rng.next() as u8),
                _ => bytes.copy_within(at..at + n, rng.below(len - n as u64) as usize),
            }
        }
        if round % 4 > 0 {
            // Lengths and offsets in the prefix stay: only sums are made right.
            bytes[16..24].copy_from_slice(&sample.bytes[16..24]);
            sample.layout.reseal(&mut bytes);
        }
        judge(sample, &bytes, round % 4 > 0, |_| true);
    }
}

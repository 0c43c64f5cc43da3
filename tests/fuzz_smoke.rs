//! The bodies of the fuzz targets on some random inputs: the same ones every time, for a few seconds.
#![cfg(feature = "safetensors")]

mod support;

use std::time::{Duration, Instant};
use support::{data::Rng, fuzz};

fn smoke(seed: u64, inputs: u32, body: impl Fn(&[u8])) {
    let mut rng = Rng::new(seed);
    let start = Instant::now();
    for _ in 0..inputs {
        let len = [rng.below(40), rng.below(400), rng.below(4000)][rng.below(3) as usize];
        let mut input = rng.bytes(len as usize);
        // Sparse inputs get further than noise.
        let keep = rng.below(4);
        input
            .iter_mut()
            .skip(16)
            .filter(|b| u64::from(**b & 3) > keep)
            .for_each(|b| *b = 0);
        body(&input);
        // On a slow machine fewer must do.
        if start.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
}

#[test]
fn arbitrary_bytes() {
    smoke(1, 20_000, fuzz::arbitrary_bytes);
}

#[test]
fn mutated_file() {
    smoke(2, 4_000, fuzz::mutated_file);
}

#[test]
fn round_trip() {
    smoke(3, 400, fuzz::round_trip);
}

#[test]
fn backends() {
    smoke(4, 4_000, fuzz::backends);
}

#[test]
fn empty_inputs() {
    for body in [
        fuzz::arbitrary_bytes,
        fuzz::mutated_file,
        fuzz::round_trip,
        fuzz::backends,
    ] {
        body(&[]);
        (0..=255).for_each(|byte| body(&[byte]));
    }
}

#[test]
fn chunks_side_by_side_are_reached() {
    // What `backends` makes of an input that spoils nothing must decode: else it tests little.
    let sizes = fuzz::repeated_sizes();
    assert!(sizes.iter().filter(|&&chunks| chunks == 9).count() >= 3, "{sizes:?}");
}

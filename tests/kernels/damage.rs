//! Damaged chunks under right checksums: a kernel must say of each what the CPU's decoder says, to the letter,
//! and touch nothing that is not its own.

use crate::gpu::{Build, Gpu};
use crate::support::data::Rng;
use crate::support::judge::open;
use crate::support::sample::{self, Sample};
use crate::support::wire::{Bits, Hand, Layout};
use wcodec::Backend;

/// Checks the tensor that is hit by a change at `byte`.
fn check(gpu: &mut Gpu, sample: &Sample, mut bytes: Vec<u8>, byte: usize) {
    let tensors = &sample.layout.tensors;
    let Some(hit) = tensors
        .iter()
        .find(|t| t.head.contains(&byte) || t.chunks.iter().any(|c| c.contains(&byte)))
    else {
        return;
    };
    sample.layout.reseal(&mut bytes);
    let Ok(decoder) = open(bytes, Backend::Scalar) else {
        return;
    };
    let tensor = decoder.tensor(&hit.name).unwrap();
    // What the shape claims is not limited by the payload here: that is for who allocates.
    let (cpu, gpu) = (tensor.decode(), gpu.tensor(tensor));
    match (&cpu, &gpu) {
        (Ok(cpu), Ok(gpu)) => assert!(cpu == gpu, "{} byte {byte}", hit.name),
        (Err(cpu), Err(gpu)) => assert_eq!(cpu.to_string(), gpu.to_string(), "{} byte {byte}", hit.name),
        _ => panic!("{} byte {byte}: {:?}, {:?}", hit.name, cpu.err(), gpu.err()),
    }
}

fn flips(build: Build, sample: &Sample, count: u64, seed: u64) {
    let Some(mut gpu) = Gpu::start(build) else { return };
    let mut rng = Rng::new(seed);
    // The ends of chunks, of heads and of parameters are where lengths meet.
    let tensors = &sample.layout.tensors;
    let edges: Vec<usize> = tensors
        .iter()
        .flat_map(|t| {
            t.chunks
                .iter()
                .flat_map(|c| [c.start, c.end.saturating_sub(8)])
                .chain([t.head.start + 16])
        })
        .collect();
    for _ in 0..count {
        let byte = match rng.below(3) {
            0 => rng.below(sample.bytes.len() as u64) as usize,
            1 => edges[rng.below(edges.len() as u64) as usize] + rng.below(16) as usize,
            _ => {
                let head = &tensors[rng.below(tensors.len() as u64) as usize].head;
                head.start + rng.below(head.len() as u64) as usize
            }
        };
        let mut bytes = sample.bytes.clone();
        let Some(at) = bytes.get_mut(byte) else { continue };
        *at ^= 1 << rng.below(8);
        if rng.below(4) == 0 {
            let to = (byte + 1 + rng.below(40) as usize).min(bytes.len());
            bytes[byte + 1..to].fill([0, 0xff, 0x80][rng.below(3) as usize]);
        }
        check(&mut gpu, sample, bytes, byte);
    }
}

#[test]
fn flips_in_small_chunks() {
    flips(Build::Fast, sample::small(), 1500, 1);
}

#[test]
fn flips_in_small_chunks_checked() {
    flips(Build::Checked, sample::small(), 500, 2);
}

#[test]
fn flips_in_scaled_tiled_and_long_ones() {
    flips(Build::Fast, sample::rich(), 150, 3);
}

#[test]
fn flips_in_scaled_tiled_and_long_ones_checked() {
    flips(Build::Checked, sample::rich(), 50, 4);
}

/// States and words that no encoder writes: every lane takes a word in every step.
#[test]
fn streams_that_run_ahead_of_their_words() {
    let Some(mut gpu) = Gpu::start(Build::Checked) else {
        return;
    };
    for sample in [sample::small(), sample::rich()] {
        for t in &sample.layout.tensors {
            for chunk in t.chunks.iter().filter(|c| c.len() > 128) {
                let mut bytes = sample.bytes.clone();
                bytes[chunk.start..chunk.start + 128].fill(0);
                check(&mut gpu, sample, bytes.clone(), chunk.start);
                bytes[chunk.start + 128..chunk.end].fill(0);
                check(&mut gpu, sample, bytes, chunk.start);
            }
        }
    }
}

/// A stream that every decoder takes, and no encoder writes: 31 lanes stay at state 0 with a word of 0 in every step,
/// until their last two words lead them out; lane 0 takes words in three steps of four. So words begin at odd places
/// of a kernel's ring, and are taken faster than it is filled for a group of steps.
#[test]
fn a_word_for_nearly_every_symbol() {
    // The words that count are the last of a group, one of those that find the ring short.
    const STEPS: usize = 19 * 8 + 1;
    let Some(mut gpu) = Gpu::start(Build::Checked) else {
        return;
    };
    // The first symbol has one slot of 4096: a state is shifted right by 12 bits.
    let mut chunk = (1u32 << 28).to_le_bytes().to_vec();
    chunk.resize(128, 0);
    for step in 0..STEPS {
        if step % 4 > 0 {
            chunk.extend([0, 0]);
        }
        // State 2 has the second symbol's second slot: 1, and with the last word 2^16.
        let word = if step == STEPS - 2 { 2u16 } else { 0 };
        chunk.extend([word.to_le_bytes(); 31].as_flattened());
    }
    chunk.resize(chunk.len().next_multiple_of(16), 0);
    let parameters = Bits::default().bits(0, 2).bits(0, 8).table(7, &[1, 4095]).finish();
    let units = 32 * STEPS as u64;
    let recipe = format!("bytes columns=0 tables=1 prob=12 chunk={units}");
    let file = Hand::new().tensor("w", "U8", &[units], &recipe, &parameters, &[(&chunk, 0)]);
    let decoder = open(file.bytes(), Backend::Scalar).unwrap();
    let tensor = decoder.tensor("w").unwrap();
    assert!(gpu.tensor(tensor).unwrap() == tensor.decode().unwrap());
}

#[test]
fn flips_in_levels_checked() {
    flips(Build::Checked, &golden("v1.0-levels"), 300, 5);
}

#[test]
fn flips_in_tiled_levels_checked() {
    flips(Build::Checked, &golden("v1.0-tiled-levels"), 150, 6);
}

/// A golden file as a sample, to be damaged.
fn golden(name: &str) -> Sample {
    let root = std::env::var("WCODEC_ROOT").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let bytes = std::fs::read(std::path::Path::new(&root).join(format!("tests/golden/{name}.wcodec"))).unwrap();
    Sample {
        layout: Layout::of(&bytes),
        bytes,
        tensors: Vec::new(),
    }
}

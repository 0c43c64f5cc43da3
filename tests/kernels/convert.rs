//! Numbers of types that Candle has not, as ones that it has.

use crate::gpu::{Build, Gpu};

/// Runs a conversion of every bit pattern of `from` bytes into numbers of `to` bytes.
fn convert(kernel: &str, from: usize, to: usize) -> Option<Vec<u64>> {
    let mut gpu = Gpu::start(Build::Checked)?;
    let count = 1usize << (8 * from);
    let input: Vec<u8> = (0..count).flat_map(|i| i.to_le_bytes()[..from].to_vec()).collect();
    let (input_at, output_at) = (gpu.allocate(input.len() as u64), gpu.allocate((count * to) as u64));
    gpu.write(input_at, &input);
    gpu.launch(kernel, [3, 64, 0], [input_at, output_at, count as u64, 0], 0);
    let output = gpu.read(output_at, (count * to) as u64);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    Some(output.chunks(to).map(number).collect())
}

#[test]
fn every_number_of_the_small_types() {
    let Some(wide) = convert("wcodec_u32_of_u16", 2, 4) else {
        return;
    };
    assert!((0..).zip(wide).all(|(i, n): (u64, u64)| n == i));
    let signed = convert("wcodec_i16_of_i8", 1, 2).unwrap();
    assert!(
        (0..)
            .zip(signed)
            .all(|(i, n): (u64, u64)| n as i16 == i16::from(i as i8))
    );
    let halves = convert("wcodec_f16_of_f8_e5m2", 1, 2).unwrap();
    assert!((0..).zip(halves).all(|(i, n): (u64, u64)| n == i << 8));
}

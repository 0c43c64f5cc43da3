//! Round trips, sizes and damage.
#![cfg(feature = "encode")]

use super::*;
use crate::bits::BitWriter;
use crate::codec::encode::Input;
use crate::codec::encode::tiles::{TileEncoding, encode, estimate, shape_costs};
use crate::format::MAX_CHUNK_UNITS;
use proptest::prelude::*;

const PROB: u32 = 12;

fn xorshift(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// Decodes one chunk of an encoding.
fn decode_chunk(coder: &TileCoder, backend: Backend, bytes: &[u8], extra: u32, out: &mut [u8]) -> Result<(), Problem> {
    let units = out.len() / (coder.units.bits() as usize / 8);
    coder.decode(
        backend,
        &mut Chunk {
            index: 0,
            first: 0,
            units,
            extra,
            bytes,
            out,
        },
    )
}

fn input(dtype: DType, data: &[u8]) -> Input<'_> {
    Input {
        dtype,
        shape: &[],
        data,
        backend: Backend::Scalar,
        used: &|_| (),
    }
}

fn coder(dtype: DType, shape: TileShape, columns: usize, encoding: &TileEncoding) -> TileCoder {
    TileCoder::parse(dtype, shape, columns, PROB, BitReader::new(&encoding.parameters)).unwrap()
}

/// Encodes, decodes with every backend, compares, and gives the encoded length.
fn round_trip(dtype: DType, data: &[u8], shape: TileShape, columns: usize) -> usize {
    let encoding = encode(input(dtype, data), shape, columns, PROB, 1, BitWriter::default()).unwrap();
    let coder = coder(dtype, shape, columns, &encoding);
    let chunk_bytes = encoding.chunk_units as usize * dtype.unit_bytes();
    assert!(encoding.chunk_units.is_multiple_of((shape.height() * columns) as u64));
    assert_eq!(encoding.chunks.len(), data.len().div_ceil(chunk_bytes));
    for backend in Backend::available() {
        for (chunk, expected) in encoding.chunks.iter().zip(data.chunks(chunk_bytes)) {
            let mut out = vec![0xa5; expected.len()];
            decode_chunk(&coder, backend, &chunk.bytes, chunk.extra, &mut out).unwrap();
            assert!(out == expected, "{dtype} {shape} {columns} {backend}");
        }
    }
    encoding.parameters.len() + encoding.chunks.iter().map(|c| c.bytes.len()).sum::<usize>()
}

/// Little-endian bytes of the low bits of numbers.
fn bytes_of(dtype: DType, numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    numbers
        .flat_map(|n| n.to_le_bytes().into_iter().take(dtype.unit_bytes()))
        .collect()
}

/// A part smooth, a part noise, a part extremes.
fn mixed(dtype: DType, units: usize, seed: u64) -> Vec<u8> {
    let mut s = seed | 1;
    let bits = 8 * dtype.unit_bytes() as u32;
    let extremes = [
        0,
        1,
        u64::MAX,
        1 << (bits - 1),
        (1 << (bits - 1)) - 1,
        u64::MAX << (bits / 2),
        u64::MAX >> 1,
    ];
    let number = |i: usize| match i / 700 % 4 {
        0 => (i as u64).wrapping_mul(3),
        1 => xorshift(&mut s),
        2 => extremes[xorshift(&mut s) as usize % extremes.len()],
        _ => (1 << (bits - 2)) + ((xorshift(&mut s).trailing_zeros() as u64) << (bits / 4)),
    };
    bytes_of(dtype, (0..units).map(number))
}

#[test]
fn every_dtype_and_shape_round_trips() {
    for &dtype in DType::ALL {
        for shape in TileShape::ALL {
            for (rows, columns) in [(1, 1), (1, 40), (40, 1), (33, 47), (64, 64), (7, 300)] {
                round_trip(dtype, &mixed(dtype, rows * columns, 7), shape, columns);
            }
        }
    }
}

#[test]
fn special_floats_round_trip() {
    for dtype in [
        DType::F8_E4M3,
        DType::F8_E5M2,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::C64,
        DType::F64,
    ] {
        let layout = dtype.float_layout().unwrap();
        let sign = 1u64 << (layout.exponent + layout.mantissa);
        let infinity = ((1 << layout.exponent) - 1) << layout.mantissa;
        let mantissa = (1 << layout.mantissa) - 1;
        let quiet = infinity | 1 << (layout.mantissa - 1);
        let positive = [
            0,
            1,
            mantissa,
            1 << layout.mantissa,
            infinity - 1,
            infinity,
            infinity | 1,
            quiet,
            quiet | 1,
            infinity | mantissa,
        ];
        let all: Vec<u64> = positive.iter().flat_map(|&p| [p, p | sign]).collect();
        for shape in TileShape::ALL {
            // In runs (predicted), and next to each other (escapes).
            round_trip(
                dtype,
                &bytes_of(dtype, (0..6400).map(|i| all[i / 64 % all.len()])),
                shape,
                80,
            );
            round_trip(
                dtype,
                &bytes_of(dtype, (0..6400).map(|i| all[i % all.len()])),
                shape,
                80,
            );
        }
    }
}

#[test]
fn chunks_cut_between_rows_of_tiles() {
    for (shape, columns, rows, chunks) in [
        (TileShape::T16x16, 300, 350, 2),
        (TileShape::T32x8, 5000, 33, 2),
        (TileShape::T8x32, 48, 2000, 2),
    ] {
        let data = mixed(DType::BF16, rows * columns, 3);
        let encoding = encode(input(DType::BF16, &data), shape, columns, PROB, 0, BitWriter::default()).unwrap();
        assert_eq!(encoding.chunks.len(), chunks);
        round_trip(DType::BF16, &data, shape, columns);
    }
}

#[test]
fn impossible_matrices_are_refused() {
    let data = [0; 64];
    let none = |dtype, data: &[u8], columns| {
        encode(
            input(dtype, data),
            TileShape::T16x16,
            columns,
            PROB,
            0,
            BitWriter::default(),
        )
        .is_none()
    };
    assert!(none(DType::U8, &[], 4));
    assert!(none(DType::U8, &data, 0));
    assert!(none(DType::U8, &data, 3));
    let wide = MAX_CHUNK_UNITS as usize / 16 + 1;
    assert!(none(DType::U8, &vec![0; wide], wide));
    assert!(none(DType::U8, &data, usize::MAX));
    assert!(estimate(DType::U8, &data, TileShape::T16x16, 3, 1 << 16).is_none());
    assert!(shape_costs(DType::U8, &data, TileShape::T16x16, 3, 1 << 16).is_none());
}

#[test]
fn constants_and_ramps_take_next_to_nothing() {
    let (rows, columns) = (192, 256);
    for &dtype in &[DType::U8, DType::I64, DType::BF16] {
        let wrap = u64::MAX >> (64 - 8 * dtype.unit_bytes().min(2));
        let constant = bytes_of(dtype, (0..rows * columns).map(|_| 0x3f3f_3f3f_3f3f_3f3f));
        let ramp = bytes_of(
            dtype,
            (0..rows * columns).map(|i| (5 * (i / columns) + 3 * (i % columns)) as u64 & wrap),
        );
        for shape in TileShape::ALL {
            for data in [&constant, &ramp] {
                let bits = 8.0 * round_trip(dtype, data, shape, columns) as f64 / (rows * columns) as f64;
                assert!(bits < 0.9, "{dtype} {shape}: {bits} bits a unit");
            }
        }
    }
}

#[test]
fn position_ids_take_next_to_nothing() {
    let data = bytes_of(DType::I64, 0..4096);
    let len = round_trip(DType::I64, &data, TileShape::T8x32, 64);
    assert!(len < 600, "{len}");
}

/// Sinusoids as position embeddings have them: positions by frequencies.
fn sinusoids(dtype: DType, positions: usize, columns: usize) -> Vec<u8> {
    let number = |i: usize| {
        let (position, k) = ((i / columns) as f64, i % columns);
        let angle = position * (-(10000f64.ln()) * (k % (columns / 2)) as f64 / (columns / 2 - 1) as f64).exp();
        let value = (if k < columns / 2 { angle.sin() } else { angle.cos() }) as f32;
        match dtype {
            DType::BF16 => u64::from((value.to_bits() + 0x7fff + (value.to_bits() >> 16 & 1)) >> 16),
            _ => value.to_bits().into(),
        }
    };
    bytes_of(dtype, (0..positions * columns).map(number))
}

#[test]
fn sinusoids_are_predicted() {
    for (dtype, most) in [(DType::BF16, 8.0), (DType::F32, 21.0)] {
        let data = sinusoids(dtype, 400, 384);
        let bits = 8.0 * round_trip(dtype, &data, TileShape::T32x8, 384) as f64 / (400.0 * 384.0);
        assert!(bits < most, "{dtype}: {bits} bits a unit");
    }
}

#[test]
fn estimates_are_near_and_tools_save() {
    let data = sinusoids(DType::BF16, 300, 384);
    let shape = TileShape::T16x16;
    let real = 8 * round_trip(DType::BF16, &data, shape, 384) as u64;
    let guess = estimate(DType::BF16, &data, shape, 384, 1 << 16).unwrap() >> 16;
    assert!(real.abs_diff(guess) * 20 < real, "{real} bits, estimated {guess}");
    let costs = shape_costs(DType::BF16, &data, shape, 384, 1 << 16).unwrap();
    assert_eq!(costs.all >> 16, guess);
    assert!(costs.predictors.iter().all(|p| p.1 <= costs.none));
    assert!(costs.all < costs.none && costs.all_predictors < costs.none);
}

#[test]
fn damage_never_panics() {
    let mut s = 99;
    for (dtype, columns) in [(DType::BF16, 50), (DType::I64, 64), (DType::U8, 33)] {
        let data = mixed(dtype, columns * 30, 5);
        let encoding = encode(
            input(dtype, &data),
            TileShape::T16x16,
            columns,
            PROB,
            1,
            BitWriter::default(),
        )
        .unwrap();
        let coder = coder(dtype, TileShape::T16x16, columns, &encoding);
        let (bytes, extra) = (&encoding.chunks[0].bytes, encoding.chunks[0].extra);
        let mut out = vec![0; data.len()];
        for backend in Backend::available() {
            for len in (0..bytes.len()).step_by(5) {
                assert!(decode_chunk(&coder, backend, &bytes[..len], extra, &mut out).is_err());
            }
            for wrong in (0..extra)
                .chain(extra + 1..bytes.len() as u32 + 2)
                .step_by(3)
                .chain([u32::MAX])
            {
                assert!(decode_chunk(&coder, backend, bytes, wrong, &mut out).is_err());
            }
            for _ in 0..500 {
                let mut damaged = bytes.clone();
                for _ in 0..1 + xorshift(&mut s) % 3 {
                    let at = xorshift(&mut s) as usize % damaged.len();
                    damaged[at] ^= 1 << (xorshift(&mut s) % 8);
                }
                // Found or not (the padding is not looked at; checksums are), it must not panic.
                let _ = decode_chunk(&coder, backend, &damaged, extra, &mut out);
            }
            for len in 0..encoding.parameters.len() - 1 {
                assert!(
                    TileCoder::parse(
                        dtype,
                        TileShape::T16x16,
                        columns,
                        PROB,
                        BitReader::new(&encoding.parameters[..len])
                    )
                    .is_err()
                );
            }
        }
    }
}

/// A chunk of one 8x8 tile with some predictor code, transform code, padding and seeds.
fn crafted(predictor: u8, transforms: u8, extra_raw: &[u8], seed: u16) -> Result<(), Problem> {
    use crate::entropy::EncodeTables;
    let mut even = [0; 256];
    even[..128].fill(1);
    let frequencies: Vec<_> = (0..TABLES).map(|_| Frequencies::normalise(&even, PROB)).collect();
    let mut writer = BitWriter::default();
    writer.bits(0, 16);
    frequencies.iter().for_each(|f| f.write(&mut writer));
    let coder = TileCoder::parse(DType::I16, TileShape::T16x16, 8, PROB, BitReader::new(&writer.finish())).unwrap();

    let mut symbols = vec![0; 128];
    let mut contexts = vec![0; 128];
    (symbols[0], symbols[32]) = (predictor, transforms);
    contexts[32] = TRANSFORMS;
    contexts[64..].fill(if predictor == 0 {
        context::PLAIN
    } else {
        context::RESIDUAL
    });
    let mut bytes = Vec::new();
    rans::encode(
        Backend::Scalar,
        &EncodeTables::new(&frequencies),
        &symbols,
        &contexts,
        &[seed; LANES],
        &mut Vec::new(),
        &mut bytes,
    );
    bytes.extend(extra_raw);
    decode_chunk(&coder, Backend::Scalar, &bytes, extra_raw.len() as u32, &mut [0; 128])
}

#[test]
fn what_means_nothing_is_refused() {
    let says = |result: Result<(), Problem>, what: &str| match result {
        Err(Problem::Chunk(0, text)) => assert!(text.contains(what), "{text}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(crafted(4, 0, &[], 0), Ok(()));
    says(crafted(5, 0, &[], 0), "unknown predictor");
    says(crafted(0, 3, &[], 0), "more blocks");
    says(crafted(4, 0, &[0], 0), "raw bits do not end");
    says(crafted(4, 0, &[], 1), "seeds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_matrix_round_trips(
        dtype in 0..DType::ALL.len(), shape in 0..3usize, rows in 1usize..70, columns in 1usize..70, seed: u64,
    ) {
        let dtype = DType::ALL[dtype];
        round_trip(dtype, &mixed(dtype, rows * columns, seed), TileShape::ALL[shape], columns);
    }

    #[test]
    fn arbitrary_chunks_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), extra in 0u32..500) {
        let encoding = encode(input(DType::F32, &mixed(DType::F32, 256, 1)), TileShape::T8x32, 32, PROB, 1, BitWriter::default()).unwrap();
        let coder = coder(DType::F32, TileShape::T8x32, 32, &encoding);
        let _ = decode_chunk(&coder, Backend::Scalar, &bytes, extra, &mut [0; 1024]);
    }
}

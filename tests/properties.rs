//! Properties of the codec on random tensors: lossless, the same on every backend and any number of
//! threads, in parts as in whole.
#![cfg(feature = "safetensors")]

mod support;

use proptest::prelude::*;
use support::data::{Kind, fill};
use support::fuzz::{check, encode};
use wcodec::{DType, Decoder, Effort};

fn dtype() -> impl Strategy<Value = DType> {
    proptest::sample::select(DType::ALL)
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&Kind::ALL[..])
}

fn effort() -> impl Strategy<Value = Effort> {
    proptest::sample::select(&Effort::ALL[..])
}

/// Up to four dimensions; some of them 0, 1 or prime; few elements or some tens of thousands.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    let small = prop_oneof![1 => Just(0usize), 3 => Just(1), 8 => 2usize..20];
    prop_oneof![
        2 => proptest::collection::vec(small, 0..5),
        2 => (1usize..200, 1usize..200).prop_map(|(a, b)| vec![a, b]),
        1 => (1usize..8, 8usize..40, 8usize..64).prop_map(|(a, b, c)| vec![a, b, c]),
        1 => (1usize..60_000).prop_map(|n| vec![n]),
    ]
}

/// A shape whose elements fill whole bytes.
fn whole(mut shape: Vec<usize>, dtype: DType) -> Vec<usize> {
    if dtype.bits() < 8 {
        shape.push(8);
    }
    shape
}

fn cases(release: u32) -> ProptestConfig {
    ProptestConfig::with_cases(if cfg!(debug_assertions) { release / 8 } else { release })
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn tensors_round_trip(
        dtype in dtype(),
        shape in shape(),
        kind in kind(),
        effort in effort(),
        seed: u64,
        rows: (prop::sample::Index, prop::sample::Index),
    ) {
        let shape = whole(shape, dtype);
        let tensor = fill(kind, dtype, &shape, seed);
        let bytes = encode(dtype, &shape, &tensor, effort);
        let count = shape.first().copied().unwrap_or(0);
        let (a, b) = (rows.0.index(count + 1), rows.1.index(count + 1));
        check(&bytes, &tensor, a.min(b)..a.max(b));
    }

    #[test]
    fn rows_are_slices_of_the_whole(
        dtype in dtype(),
        kind in kind(),
        columns in 1usize..300,
        seed: u64,
        ranges in proptest::collection::vec((0f64..1.0, 0f64..1.0), 8),
    ) {
        // Enough for several chunks, whatever the method.
        let rows = 150_000 / columns;
        let shape = whole(vec![rows, columns], dtype);
        let tensor = fill(kind, dtype, &shape, seed);
        let decoder = Decoder::from_bytes(encode(dtype, &shape, &tensor, Effort::Fast), "memory").unwrap();
        let t = decoder.tensor("t").unwrap();
        let row = t.row_len().unwrap() as usize;
        for (a, b) in ranges {
            let (a, b) = ((a * rows as f64) as usize, (b * rows as f64) as usize);
            let range = a.min(b)..a.max(b);
            let mut out = vec![0; range.len() * row];
            t.decode_rows(range.clone(), &mut out).unwrap();
            prop_assert!(out == tensor[range.start * row..range.end * row]);
        }
        let mut out = vec![0; row];
        prop_assert!(t.decode_rows(rows..rows + 1, &mut out).is_err());
        prop_assert!(t.decode_rows(0..1, &mut out[1..]).is_err());
        prop_assert!(t.decode_into(&mut out[..row - 1]).is_err());
    }
}

#[cfg(feature = "parallel")]
proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn encoding_depends_on_the_input_alone(
        dtype in dtype(),
        kind in kind(),
        rows in 1usize..400,
        columns in 1usize..400,
        effort in effort(),
        seed: u64,
    ) {
        let shape = whole(vec![rows, columns], dtype);
        let tensor = fill(kind, dtype, &shape, seed);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| encode(dtype, &shape, &tensor, effort))
        };
        let first = on(1);
        prop_assert!(first == on(4), "threads change the bytes");
        prop_assert!(first == on(1), "encoding twice gives other bytes");
    }
}

#[test]
fn files_of_many_tensors_do_not_depend_on_threads() {
    use wcodec::{EncodeOptions, Encoder, TensorSpec};
    let tensors: Vec<(String, Vec<u8>)> = (0..40)
        .map(|i| {
            (
                format!("t{i}"),
                fill(Kind::ALL[i % Kind::ALL.len()], DType::BF16, &[64, 50 + i], i as u64),
            )
        })
        .collect();
    let encode = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.wcodec");
        let specs = (0..40)
            .map(|i| TensorSpec::new(format!("t{i}"), DType::BF16, [64, 50 + i]))
            .collect();
        let mut encoder = Encoder::create(&path, specs, EncodeOptions::lossless()).unwrap();
        let batch: Vec<(&str, &[u8])> = tensors.iter().map(|(n, d)| (n.as_str(), &d[..])).collect();
        encoder.add_batch(&batch).unwrap();
        encoder.finish().unwrap();
        std::fs::read(path).unwrap()
    };
    let first = encode();
    assert!(first == encode());
    #[cfg(feature = "parallel")]
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(first == pool.install(encode), "on {threads} threads");
    }
}

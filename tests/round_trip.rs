//! Tensors of every dtype, shape and effort, there and back.
#![cfg(feature = "encode")]

use wcodec::{Backend, DType, DecodeOptions, Decoder, Effort, EncodeOptions, Encoder, TensorSpec};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// About normal, mean 0, deviation 1.
    fn normal(&mut self) -> f32 {
        (0..12)
            .map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32)
            .sum::<f32>()
            - 6.0
    }
}

/// Weights with row and column scales, as bytes of a dtype.
fn weights(dtype: DType, rows: usize, columns: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng(seed * 2 + 1);
    let row: Vec<f32> = (0..rows).map(|_| (rng.normal() * 0.4).exp2()).collect();
    let column: Vec<f32> = (0..columns).map(|_| (rng.normal() * 0.4).exp2()).collect();
    let mut out = Vec::new();
    for i in 0..rows * columns {
        let w = 0.02 * rng.normal() * row[i / columns] * column[i % columns];
        let bf16 = |w: f32| ((w.to_bits() + 0x7fff) >> 16) as u16;
        match dtype {
            DType::BF16 => out.extend(bf16(w).to_le_bytes()),
            DType::F32 => out.extend(w.to_le_bytes()),
            DType::F16 => out.extend(((bf16(w) >> 1 & 0x3fff) | bf16(w) & 0x8000).to_le_bytes()),
            DType::F64 => out.extend(f64::from(w).to_le_bytes()),
            DType::I8 => out.push((w * 800.0) as i8 as u8),
            DType::U8 => out.push((8 + (w * 60.0) as i8).clamp(0, 15) as u8 | ((rng.next() % 6 + 5) as u8) << 4),
            _ => out.extend(&rng.next().to_le_bytes()[..dtype.bits() / 8]),
        }
    }
    out
}

fn encode(specs: &[(TensorSpec, Vec<u8>)], options: EncodeOptions) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.wcodec");
    let mut encoder = Encoder::create(&path, specs.iter().map(|s| s.0.clone()).collect(), options).unwrap();
    for (spec, data) in specs {
        encoder.add(&spec.name, data).unwrap();
    }
    let report = encoder.finish().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(report.encoded, bytes.len() as u64);
    bytes
}

/// Encodes with every backend to the same bytes, and decodes those with every backend.
fn check(specs: &[(TensorSpec, Vec<u8>)], effort: Effort) {
    let options = EncodeOptions::lossless().effort(effort);
    let bytes = encode(specs, options.backend(Backend::Scalar));
    for backend in Backend::available() {
        assert!(
            encode(specs, options.backend(backend)) == bytes,
            "encoded by {backend}, {effort:?}"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.wcodec");
        std::fs::write(&path, &bytes).unwrap();
        let decoder = Decoder::open_with(&path, DecodeOptions::default().backend(backend)).unwrap();
        for (spec, data) in specs {
            let tensor = decoder.tensor(&spec.name).unwrap();
            let got = tensor.decode().unwrap();
            assert!(
                got == *data,
                "{} by {backend}, {effort:?}: {}",
                spec.name,
                tensor.info().recipe_text()
            );
            tensor.verify().unwrap();
            let rows = spec.shape.first().copied().unwrap_or(0);
            if let (Some(row), true) = (tensor.row_len(), rows > 2) {
                let range = rows / 3..rows - 1;
                let mut out = vec![0xee; range.len() * row as usize];
                tensor.decode_rows(range.clone(), &mut out).unwrap();
                assert!(
                    out == data[range.start * row as usize..range.end * row as usize],
                    "rows of {}",
                    spec.name
                );
            }
        }
    }
}

#[test]
fn every_dtype_and_effort() {
    for effort in Effort::ALL {
        let tensors: Vec<_> = DType::ALL
            .iter()
            .filter(|d| d.bits() >= 8)
            .flat_map(|&d| [(d, 37, 64), (d, 300, 513), (d, 1, 7), (d, 5, 1)])
            .map(|(d, rows, columns)| {
                let spec = TensorSpec::new(format!("{d}.{rows}x{columns}"), d, [rows, columns]);
                (spec, weights(d, rows, columns, (rows + columns) as u64))
            })
            .collect();
        check(&tensors, effort);
    }
}

/// Some chunks of a tensor have mantissas that end with zeros, some have not.
#[test]
fn short_mantissas_in_part() {
    for dtype in [DType::BF16, DType::F16, DType::F32, DType::F64, DType::F8_E4M3] {
        let (rows, columns, bytes) = (400, 512, dtype.bits() / 8);
        let mut data = weights(dtype, rows, columns, 5);
        let half = data.len() / 2;
        for (i, element) in data.chunks_mut(bytes).enumerate() {
            // In the first half the lowest byte keeps three bits of a byte, or one of a float of one.
            let mask = if bytes == 1 { 0xfe } else { 0xf8 };
            if i * bytes < half {
                element[0] &= mask;
            }
        }
        let spec = TensorSpec::new("w", dtype, [rows, columns]);
        for effort in Effort::ALL {
            check(&[(spec.clone(), data.clone())], effort);
        }
        let whole = weights(dtype, rows, columns, 5);
        let encoded = |data| encode(&[(spec.clone(), data)], EncodeOptions::lossless()).len();
        let saved = encoded(whole).saturating_sub(encoded(data));
        let narrower = matches!(dtype, DType::F64 | DType::F8_E4M3);
        assert!(narrower || saved * 8 > rows * columns, "{dtype}: {saved} bytes saved");
    }
}

/// What shrinks almost to nothing still decodes under the default limits.
#[test]
fn large_and_empty_of_information() {
    let spec = |name: &str, dtype, shape: &[usize]| TensorSpec::new(name, dtype, shape);
    let ramp = |columns: i64, rows: i64| (0..rows * columns).flat_map(|i| (i % columns).to_le_bytes()).collect();
    let tensors: Vec<(TensorSpec, Vec<u8>)> = vec![
        (spec("ramp", DType::I64, &[16, 65536]), ramp(65536, 16)),
        (spec("zeros", DType::F64, &[1 << 20]), vec![0; 8 << 20]),
        (spec("ones", DType::U8, &[5 << 20]), vec![1; 5 << 20]),
        (spec("stripes", DType::I64, &[1 << 19, 2]), ramp(2, 1 << 19)),
    ];
    check(&tensors, EncodeOptions::lossless().effort);
    let mut sparse = vec![0; 8 << 20];
    sparse[(8 << 20) - 1] = 1;
    for effort in Effort::ALL {
        let tensor = [(spec("sparse", DType::I64, &[16, 65536]), sparse.clone())];
        let encoded = encode(&tensor, EncodeOptions::lossless().effort(effort)).len();
        assert!(encoded < 10_000, "{effort:?}: {encoded} bytes");
    }
    check(&tensors, Effort::Max);
}

#[test]
fn odd_shapes_and_values() {
    let every_half: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let specials: Vec<u8> = (0..20_000u32)
        .flat_map(|i| (i.wrapping_mul(0x9e37_79b9) & 0xff80_0fff).to_le_bytes())
        .collect();
    let widened: Vec<u8> = weights(DType::BF16, 100, 100, 5)
        .chunks(2)
        .flat_map(|b| [0, 0, b[0], b[1]])
        .collect();
    let tensors = vec![
        (TensorSpec::new("scalar", DType::F32, []), vec![1, 2, 3, 4]),
        (TensorSpec::new("empty", DType::BF16, [0, 7]), vec![]),
        (
            TensorSpec::new("f4", DType::F4, [3, 1000]),
            (0..1500).map(|i| (i * i) as u8).collect(),
        ),
        (TensorSpec::new("zeros", DType::BF16, [1000, 1000]), vec![0; 2_000_000]),
        (
            TensorSpec::new("arange", DType::I64, [1, 512]),
            (0..512u64).flat_map(u64::to_le_bytes).collect(),
        ),
        (
            TensorSpec::new("all halves", DType::F16, [256, 256]),
            every_half.clone(),
        ),
        (TensorSpec::new("all bf16", DType::BF16, [256, 4, 4, 16]), every_half),
        (TensorSpec::new("specials", DType::F32, [20_000]), specials),
        (TensorSpec::new("widened", DType::F32, [100, 100]), widened),
        (
            TensorSpec::new("noise", DType::BF16, [1000, 70]),
            (0..140_000u64)
                .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
                .collect(),
        ),
        (
            TensorSpec::new("one chunk and a bit", DType::BF16, [65536 * 2 + 1]),
            weights(DType::BF16, 1, 65536 * 2 + 1, 9),
        ),
    ];
    for effort in Effort::ALL {
        check(&tensors, effort);
    }
}

#[test]
fn separable_scales_are_worth_their_bits() {
    let data = weights(DType::BF16, 1024, 1024, 3);
    let spec = |name: &str| vec![(TensorSpec::new(name, DType::BF16, [1024, 1024]), data.clone())];
    let with = |effort| encode(&spec("w"), EncodeOptions::lossless().effort(effort));
    let (fast, default) = (with(Effort::Fast), with(Effort::Default));
    let bits = |bytes: &[u8]| bytes.len() as f64 * 8.0 / (1 << 20) as f64;
    // A normal value in BF16 has 10.464 bits; 1 row and 1 column scale cost about 0.006.
    assert!(bits(&default) < 10.50, "{}", bits(&default));
    assert!(bits(&fast) > bits(&default) + 0.1, "{} {}", bits(&fast), bits(&default));
}

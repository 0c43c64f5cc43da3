//! Golden files: what version 1.0 wrote must decode for ever, to the same bytes.
//!
//! A golden file is written once: if it is missing, the test writes it and fails, so that it is
//! looked at and committed. An existing one is never rewritten. What it must decode to is made anew
//! here, from fixed seeds. `tests/spec_decoder` decodes the same files from the specification alone.
#![cfg(feature = "safetensors")]

#[path = "support/data.rs"]
#[allow(dead_code)]
mod data;

use data::{Kind, Rng, fill};
use std::path::{Path, PathBuf};
use wcodec::analysis::tensor_costs;
use wcodec::checkpoint::Lossy;
use wcodec::{Backend, DType, DecodeOptions, Decoder, Effort, EncodeOptions, Tensor, checkpoint};

struct Golden {
    name: &'static str,
    effort: Effort,
    /// Bits a weight, if weights are quantised.
    bits: Option<f64>,
    /// Encoders write it no longer, as they did; it decodes.
    past: bool,
    tensors: Vec<(String, DType, Vec<usize>, Vec<u8>)>,
}

impl Golden {
    fn new(name: &'static str, effort: Effort) -> Self {
        Self {
            name,
            effort,
            bits: None,
            past: false,
            tensors: Vec::new(),
        }
    }

    fn quantised(name: &'static str, bits: f64) -> Self {
        let bits = Some(bits);
        Self {
            bits,
            ..Self::new(name, Effort::Default)
        }
    }

    fn add(mut self, name: &str, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Self {
        self.tensors.push((name.into(), dtype, shape.into(), bytes));
        self
    }

    fn fill(self, kind: Kind, dtype: DType, shape: &[usize]) -> Self {
        let seed = self.tensors.len() as u64 + 1;
        let name = format!("{}.{dtype}", self.tensors.len());
        self.add(&name, dtype, shape, fill(kind, dtype, shape, seed))
    }

    /// The safetensors file.
    fn original(&self) -> Vec<u8> {
        let mut offset = 0;
        let entries: Vec<String> = self
            .tensors
            .iter()
            .map(|(name, dtype, shape, bytes)| {
                let start = offset;
                offset += bytes.len();
                format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{offset}]}}"#)
            })
            .collect();
        let json = format!(r#"{{"__metadata__":{{"format":"pt"}},{}}}   "#, entries.join(","));
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json.as_bytes());
        self.tensors.iter().for_each(|t| file.extend(&t.3));
        file
    }
}

/// Normal weights under row and column scales, as a dtype; `scale` is their size.
fn weights(dtype: DType, rows: usize, columns: usize, scale: f64) -> Vec<u8> {
    let mut rng = Rng::new(rows as u64 * 31 + columns as u64);
    let row: Vec<f64> = (0..rows).map(|_| 1.0 + rng.below(8) as f64 / 2.0).collect();
    let column: Vec<f64> = (0..columns).map(|_| 1.0 + rng.below(8) as f64 / 4.0).collect();
    let mut out = Vec::new();
    for i in 0..rows * columns {
        let w = (scale * rng.normal() * row[i / columns] * column[i % columns]) as f32;
        match dtype {
            DType::BF16 => out.extend(((w.to_bits() >> 16) as u16).to_le_bytes()),
            DType::F32 => out.extend(w.to_le_bytes()),
            DType::I8 => out.push(w as i8 as u8),
            DType::F16 => out.extend(half::f16::from_f32(w).to_le_bytes()),
            _ => unreachable!("not a dtype of these weights"),
        }
    }
    out
}

/// A smooth table: what tiles are for.
fn smooth(dtype: DType, rows: usize, columns: usize) -> Vec<u8> {
    let value = |r: usize, c: usize| (r * r) as i64 * 3 - (c as i64 - 20) * (c as i64 - 9) * 2 + (r * c) as i64;
    let all = (0..rows * columns).map(|i| value(i / columns, i % columns));
    match dtype {
        DType::I16 => all.flat_map(|v| (v as i16).to_le_bytes()).collect(),
        DType::I64 => all.flat_map(|v| (v << 20).to_le_bytes()).collect(),
        DType::BF16 => all
            .flat_map(|v| (((v as f32 + 9000.0).to_bits() >> 16) as u16).to_le_bytes())
            .collect(),
        DType::F32 => all.flat_map(|v| (v as f32 / 7.0).to_le_bytes()).collect(),
        _ => unreachable!("not a dtype of these tables"),
    }
}

/// Kernels of convolutions whose three taps are alike.
fn taps(outputs: usize, inputs: usize) -> Vec<u8> {
    let mut rng = Rng::new(5);
    let mut out = Vec::new();
    for _ in 0..outputs * inputs {
        let weight = rng.normal() / 64.0;
        for tap in [1.0, 1.0, 0.97] {
            // From F64 `half` rounds twice on some processors.
            out.extend(half::f16::from_f32((weight * tap) as f32).to_le_bytes());
        }
    }
    out
}

/// A few F32 weights are made far larger than the others.
fn spiked(mut weights: Vec<u8>) -> Vec<u8> {
    for weight in weights.as_chunks_mut::<4>().0.iter_mut().step_by(3001) {
        *weight = (300.0 * f32::from_le_bytes(*weight)).to_le_bytes();
    }
    weights
}

/// A few BF16 weights that are far larger than the others.
fn with_outliers(mut weights: Vec<u8>) -> Vec<u8> {
    for weight in weights.as_chunks_mut::<2>().0.iter_mut().step_by(9001) {
        *weight = [0x00, 0x41];
    }
    weights
}

fn levels(name: &'static str) -> Golden {
    Golden::quantised(name, 4.0)
        .add(
            "two chunks, outliers",
            DType::BF16,
            &[400, 500],
            with_outliers(weights(DType::BF16, 400, 500, 0.02)),
        )
        .add("f16", DType::F16, &[128, 150], weights(DType::F16, 128, 150, 0.001))
        .add("f32", DType::F32, &[110, 150], weights(DType::F32, 110, 150, 3.0))
        .add("norm", DType::F32, &[150], weights(DType::F32, 1, 150, 1.0))
}

fn tiled_levels(name: &'static str) -> Golden {
    Golden::quantised(name, 2.5)
        .add("noise", DType::BF16, &[300, 200], weights(DType::BF16, 300, 200, 0.02))
        .add("two chunks", DType::BF16, &[400, 180], smooth(DType::BF16, 400, 180))
        .add("taps", DType::F16, &[90, 70, 3], taps(90, 70))
        .add("spikes", DType::F32, &[110, 150], spiked(smooth(DType::F32, 110, 150)))
}

fn goldens() -> Vec<Golden> {
    let nans: Vec<u8> = (0..3000u16)
        .flat_map(|i| (i.wrapping_mul(9973) | if i % 3 == 0 { 0x7f80 } else { 0 }).to_le_bytes())
        .collect();
    let widened: Vec<u8> = weights(DType::BF16, 40, 50, 0.1)
        .chunks(2)
        .flat_map(|b| [0, 0, b[0], b[1]])
        .collect();
    let halves: Vec<u8> = (0..2500u32)
        .flat_map(|i| f32::to_le_bytes((i as f32 - 1250.0) / 4096.0))
        .collect();
    let singles: Vec<u8> = weights(DType::F32, 30, 40, 0.1)
        .chunks(4)
        .flat_map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])).to_le_bytes())
        .collect();
    let short: Vec<u8> = weights(DType::F32, 40, 50, 0.1)
        .chunks(4)
        .flat_map(|b| [0, b[1] & 0xf8, b[2], b[3]])
        .collect();
    vec![
        Golden::new("v1.0-scale", Effort::Default)
            .add(
                "two chunks, a short last group",
                DType::BF16,
                &[267, 371],
                weights(DType::BF16, 267, 371, 0.02),
            )
            .add("int8", DType::I8, &[70, 150], weights(DType::I8, 70, 150, 5.0)),
        Golden::new("v1.0-fast", Effort::Fast)
            .add("bf16", DType::BF16, &[61, 67], weights(DType::BF16, 61, 67, 0.02))
            .add("f32", DType::F32, &[41, 43], weights(DType::F32, 41, 43, 0.02))
            .add("escapes", DType::BF16, &[3000], nans),
        Golden::new("v1.0-narrow", Effort::Max)
            .add("bf16 in f32", DType::F32, &[40, 50], widened)
            .add("f16 in f32", DType::F32, &[50, 50], halves)
            .add("f32 in f64", DType::F64, &[30, 40], singles)
            .add("short mantissas", DType::F32, &[40, 50], short),
        Golden::new("v1.0-tiles", Effort::Max)
            .add("i16", DType::I16, &[50, 75], smooth(DType::I16, 50, 75))
            .add("i64", DType::I64, &[19, 33], smooth(DType::I64, 19, 33))
            .add("bf16", DType::BF16, &[64, 64], smooth(DType::BF16, 64, 64))
            .add("f32", DType::F32, &[40, 24], smooth(DType::F32, 40, 24)),
        levels("v1.0-levels"),
        // Tables had probabilities of 11 bits.
        Golden {
            past: true,
            ..levels("v1.0-levels-11")
        },
        tiled_levels("v1.0-tiled-levels"),
        Golden {
            past: true,
            ..tiled_levels("v1.0-tiled-levels-11")
        },
        DType::ALL
            .iter()
            .fold(Golden::new("v1.0-dtypes", Effort::Default), |g, &d| {
                g.fill(Kind::Normal, d, &[20, 24])
            })
            .fill(Kind::Normal, DType::BF16, &[])
            .fill(Kind::Normal, DType::BF16, &[0, 3])
            .add("constant", DType::F16, &[30, 30], [0x00, 0x3c].repeat(900)),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn encode(golden: &Golden, to: &Path) {
    let original = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(original.path(), golden.original()).unwrap();
    let options = EncodeOptions::lossless().effort(golden.effort);
    match golden.bits {
        None => checkpoint::encode(original.path(), to, &options, &()).unwrap(),
        Some(bits) => checkpoint::encode_lossy(original.path(), to, &options, &Lossy::bits(bits), &()).unwrap(),
    };
}

#[test]
fn golden_files_decode_to_what_they_were_made_from() {
    let mut written = Vec::new();
    for golden in goldens() {
        let path = folder().join(format!("{}.wcodec", golden.name));
        if !path.exists() {
            std::fs::create_dir_all(folder()).unwrap();
            encode(&golden, &path);
            written.push(path);
            continue;
        }
        let original = golden.original();
        for backend in Backend::available() {
            let options = DecodeOptions::default().backend(backend);
            let restored = tempfile::NamedTempFile::new().unwrap();
            // Of quantised weights the digests say what they must be.
            checkpoint::decode(&path, restored.path(), options, &()).unwrap();
            assert!(
                golden.bits.is_some() || std::fs::read(restored.path()).unwrap() == original,
                "{} by {backend}",
                golden.name
            );
            for tensor in Decoder::open_with(&path, options).unwrap().tensors() {
                rows_are_parts(tensor);
            }
        }
        for tensor in Decoder::open(&path).unwrap().tensors() {
            tensor.verify().unwrap();
        }
    }
    assert!(
        written.is_empty(),
        "new golden files were written, look at them and commit them: {written:?}"
    );
}

/// A small random model, quantised within limits, calibrated on a text and measured on its last eighth and a task.
const CERTIFIED: &str = "v1.0-certified.wcodec";

#[test]
fn a_certificate_is_read_field_by_field() {
    let path = folder().join(CERTIFIED);
    // It is of this file, of which every tensor decodes.
    let certificate = checkpoint::certificate(&path, DecodeOptions::default()).unwrap();
    let verified = checkpoint::verify(&path, None, DecodeOptions::default(), &()).unwrap();
    assert_eq!((verified.tensors, verified.quantised), (11, 1));
    let text = "4326f0cb5c81362211e8dbcc6fe136c7ec73bedd93ee9da16caf2f007b471ca9";
    let expected = serde_json::json!({
        "version": 1,
        "writer": "wcodec 0.1.0",
        "files": [{
            "original": "f2581e824e715b490c9dc411c3fc9c87dd27e6c8fb165aa1feeae2dfb5f85be8",
            "restored": "7c9c24ca35218ab6d98642500f5a0c58cdf1c15e4c68650ff68b4b3d5f854a3e",
        }],
        "config": "dcf16cd555fa8ddb720bd36dbf6e785e8d56f56d5571a066d4af1aff939e79fe",
        "tokenizer": "2bf7b650db5f1fc40e0ed8ec3b47812be319e043d1598fab97c91eeb7c79c56e",
        "options": {
            "effort": "default",
            "lossless": ["*k_proj*"],
            "keep_head": false,
            "rates": [],
            "max_kl": 0.3,
            "max_ppl_increase": 40.0,
            "accept_uncertain": true,
        },
        "calibration": [{ "file": "gold_calibration.txt", "sha256": text, "tokens": 2048, "window": 64 }],
        "bytes": 39088,
        "bits": 7.43117870722,
        "quantised_bits": 5.39814814815,
        "texts": [{
            "file": "gold_calibration.txt",
            "sha256": text,
            "held_out": true,
            "windows": 4,
            "window": 64,
            "tokens": 252,
            "identical": false,
            "perplexity": [233367.025307, 227538.003621],
            "increase_percent": -2.49779148451,
            "increase_interval": [-11.1579367546, 7.00652729261],
            "divergence": {
                "mean": 0.280994634444,
                "standard_error": 0.012654211625,
                "median": 0.159071952399,
                "p99": 1.74480901305,
                "p999": 3.12992555142,
                "max": 3.57856281149,
            },
            "same_top": 0.650793650794,
        }],
        "tasks": [{
            "file": "gold_task.jsonl",
            "sha256": "7c7121e4a8e04c1e28943f18c08898ba0634c4e9c095cdfca54e6be3e02acd23",
            "items": 3,
            "identical": false,
            "accuracy": {
                "reference": 0.666666666667,
                "candidate": 0.666666666667,
                "gained": 0,
                "lost": 0,
                "delta_points": 0.0,
                "interval_points": [0.0, 0.0],
            },
            "normalised": {
                "reference": 0.666666666667,
                "candidate": 0.333333333333,
                "gained": 0,
                "lost": 1,
                "delta_points": -33.3333333333,
                "interval_points": [-100.0, 0.0],
            },
        }],
        "command": "wcodec verify FILE --certificate --against REFERENCE --text gold_calibration.txt --task gold_task.jsonl",
    });
    assert_eq!(serde_json::to_value(&certificate).unwrap(), expected);
}

/// Some rows of a tensor by themselves are what they are in all of it.
fn rows_are_parts(tensor: Tensor) {
    let (Some(&rows), Some(row)) = (tensor.info().shape().first(), tensor.row_len()) else {
        return;
    };
    let (row, all) = (row as usize, tensor.decode().unwrap());
    for range in [0..rows.min(1), rows / 3..rows - rows / 5, rows / 2..rows] {
        let mut part = vec![0; range.len() * row];
        tensor.decode_rows(range.clone(), &mut part).unwrap();
        assert!(
            part == all[range.start * row..range.end * row],
            "{} {range:?}",
            tensor.info().name()
        );
    }
}

#[test]
fn every_method_is_among_them() {
    let mut methods: Vec<&str> = goldens()
        .iter()
        .filter_map(|g| Decoder::open(folder().join(format!("{}.wcodec", g.name))).ok())
        .flat_map(|d| {
            d.index()
                .tensors()
                .iter()
                .filter_map(|t| t.recipe().map(|r| r.method.name()))
                .collect::<Vec<_>>()
        })
        .collect();
    methods.sort_unstable();
    methods.dedup();
    assert_eq!(
        methods,
        ["bytes", "constant", "float", "levels", "raw", "tiled-levels", "tiles"]
    );
}

#[test]
fn this_version_still_writes_the_same_bytes() {
    for golden in goldens().into_iter().filter(|g| !g.past) {
        let file = tempfile::NamedTempFile::new().unwrap();
        encode(&golden, file.path());
        let stored = std::fs::read(folder().join(format!("{}.wcodec", golden.name))).unwrap();
        assert!(
            std::fs::read(file.path()).unwrap() == stored,
            "{}: if meant, add a golden of a new name",
            golden.name
        );
    }
}

/// Of quantised tensors the levels are priced: each method's own tool is the cheapest, at about what the tensor takes.
#[test]
fn prices_of_levels_are_what_they_take() {
    for name in ["v1.0-levels", "v1.0-tiled-levels"] {
        let decoder = Decoder::open(folder().join(format!("{name}.wcodec"))).unwrap();
        for tensor in decoder.tensors().filter(|t| t.info().noise().is_some()) {
            let info = tensor.info();
            let costs = tensor_costs(tensor).unwrap();
            let best = costs.iter().min_by(|a, b| a.bits.total_cmp(&b.bits)).unwrap();
            let tiled = info.recipe_text().starts_with("tiled-levels");
            assert_eq!(
                !["none", "scale"].contains(&best.tool),
                tiled,
                "{}: {best:?}",
                info.name()
            );
            let elements: usize = info.shape().iter().product();
            let real = 8.0 * info.encoded_len() as f64 / elements as f64;
            assert!((best.bits / real - 1.0).abs() < 0.1, "{}: {real} {best:?}", info.name());
        }
    }
}

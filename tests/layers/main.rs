//! The architecture, held to: which modules may know which, who may name which crate, and where
//! `unsafe` is.
//!
//! ```text
//! bin                              the program
//! rate_control                     the smallest file within limits, and its certificate
//! calibrate                        what weights are worth
//! eval                             what a file costs in accuracy
//! model                            language models
//! checkpoint, hub, candle, analysis  whole models; none knows another, but candle hub
//! cuda                             tensors on GPUs
//! decoder, encoder                 files
//! codec | container                mathematics | input and output; neither knows the other
//! plane, predict, transform, entropy, context
//! format | shards                what is on the wire | the index of a sharded checkpoint
//! error, dtype, limits, bits, cost, spread, backend, simd, progress
//! ```
//!
//! Arrows point down only.

mod source;

use source::{Source, is_gate, read_all};

/// Modules from the bottom up; those of one row are the same layer.
const LAYERS: &[&[&str]] = &[
    &[
        "error", "dtype", "limits", "bits", "cost", "spread", "backend", "simd", "progress",
    ],
    &["format", "shards"],
    &["plane", "predict", "transform", "entropy", "context", "quant"],
    &["codec", "container"],
    &["decoder", "encoder"],
    &["cuda"],
    &["checkpoint", "hub", "candle", "analysis"],
    &["model"],
    &["eval"],
    &["calibrate"],
    &["rate_control"],
    &["bin"],
];

/// Arrows within a layer: from, to.
const BESIDE: &[(&str, &str)] = &[
    // What runs into an error says so; what vectorises asks for the backend.
    ("backend", "error"),
    ("limits", "error"),
    ("simd", "backend"),
    // Scale steps are entropy-coded; tile modes name transforms.
    ("predict", "entropy"),
    // Steps are coded as scales are; weights are read as planes are; levels are the coder's integers.
    ("quant", "predict"),
    ("quant", "entropy"),
    ("quant", "plane"),
    // A hub's repository gives a `VarBuilder`.
    ("candle", "hub"),
];

/// Crates that not everyone may name, and the files (or folders) that may.
const CRATES: &[(&str, &[&str])] = &[
    ("candle_core", &["candle", "cuda", "model", "eval", "calibrate", "bin"]),
    ("candle_nn", &["candle", "model", "eval", "calibrate", "bin"]),
    ("clap", &["bin"]),
    ("clap_complete", &["bin"]),
    ("indicatif", &["bin"]),
    ("anyhow", &["bin"]),
    ("rand_chacha", &["eval"]),
    // Threads: over chunks and tensors, where the work is cut up, and nowhere else.
    (
        "rayon",
        &[
            "decoder",
            "encoder.rs",
            "codec/encode/mod.rs",
            "checkpoint/lossy.rs",
            "checkpoint/rate.rs",
            "quant/factor.rs",
            "quant/feedback.rs",
            "calibrate/hessians.rs",
            // How many there are.
            "calibrate/memory.rs",
            "candle",
            "eval",
            "bin",
            "main",
        ],
    ),
    ("memmap2", &["container/mapped.rs"]),
    ("tempfile", &["container/writer.rs", "hub/parts.rs", "bin"]),
    ("libc", &["candle/memory.rs"]),
    ("sha2", &["checkpoint", "hub/digest.rs"]),
    ("sha1", &["hub/digest.rs"]),
    ("ureq", &["hub/client.rs", "hub/fetch.rs"]),
    ("hf_hub", &["hub/cache.rs"]),
    ("regex_lite", &["candle"]),
    ("candle_transformers", &["bin"]),
    ("tokenizers", &["eval", "bin"]),
    ("minijinja", &["bin"]),
    ("rustix", &["bin/wcodec/baseline/load.rs", "calibrate/store.rs"]),
    (
        "safetensors",
        &[
            "checkpoint",
            "candle/safetensors.rs",
            "candle/mod.rs",
            "calibrate/store.rs",
        ],
    ),
    (
        "serde_json",
        &[
            "format/certificate.rs",
            "format/index.rs",
            "shards.rs",
            "encoder.rs",
            "checkpoint",
            "hub/repo.rs",
            "candle",
            "model",
            "eval",
            "rate_control",
            "bin",
        ],
    ),
];

/// Names that only the encoder's build has.
const ENCODING: &[&str] = &[
    "encode",
    "encode_tiles",
    "encode_table",
    "encoder",
    "scale_fit",
    "cost",
    "factor",
    "feedback",
    "nearest",
    "BitWriter",
    "EncodeTables",
    "NewFile",
    "Writer",
];

/// The only files with `unsafe` in them.
const UNSAFE: &[&str] = &[
    "candle/cuda.rs",
    "candle/memory.rs",
    "candle/op.rs",
    "container/mapped.rs",
    "cuda/decoder.rs",
    "cuda/part.rs",
    "cuda/staging.rs",
    "entropy/rans/avx2.rs",
    "entropy/rans/avx512.rs",
    "entropy/rans/avx512_search.rs",
    "entropy/rans/encode_avx512.rs",
    "entropy/rans/neon.rs",
    "entropy/rans/portable.rs",
    "plane/float/avx2.rs",
    "plane/float/avx512.rs",
    "quant/dequantise/avx2.rs",
    "quant/dequantise/avx512.rs",
    "plane/float/full.rs",
    "entropy/rans/tests.rs",
    "entropy/rans/vector.rs",
    "simd.rs",
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn in_place(path: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|p| path == *p || path.trim_end_matches(".rs") == *p || path.starts_with(&format!("{p}/")))
}

#[track_caller]
fn none(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The module behind a name that `lib.rs` gives to everyone.
fn reexported(sources: &[Source], name: &str) -> Option<String> {
    let lib = sources.iter().find(|s| s.path == "lib.rs")?;
    let uses = lib.code.split(';').filter_map(|item| item.rsplit_once("pub use "));
    uses.map(|(_, path)| path)
        .find(|path| {
            path.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .any(|word| word == name)
        })
        .and_then(|path| path.split("::").next())
        .map(|module| module.trim().to_owned())
}

#[test]
fn every_module_has_a_layer() {
    let unknown = read_all()
        .into_iter()
        .filter(|s| s.path != "lib.rs" && layer(s.module()).is_none());
    none(
        unknown
            .map(|s| format!("src/{}: give its module a layer in tests/layers/main.rs", s.path))
            .collect(),
    );
}

#[test]
fn arrows_point_down() {
    let sources = read_all();
    let mut violations = Vec::new();
    for s in sources.iter().filter(|s| s.path != "lib.rs" && !s.test) {
        let from = s.module();
        for (line, name) in s.uses(&s.without(|a| a.starts_with("#[cfg(test") || a.starts_with("#[cfg(all(test"))) {
            let to = match layer(&name) {
                Some(_) => name.clone(),
                None => match reexported(&sources, &name) {
                    Some(module) => module,
                    // A macro, or a name of the module itself through `super`.
                    None => continue,
                },
            };
            let down = match (layer(from), layer(&to)) {
                (Some(a), Some(b)) => b < a || from == to || BESIDE.contains(&(from, &to)),
                _ => false,
            };
            if !down {
                violations.push(format!("src/{}:{line}: {from} must not know {to} ({name})", s.path));
            }
        }
    }
    none(violations);
}

#[test]
fn crates_are_named_where_they_belong() {
    let mut violations = Vec::new();
    for s in read_all().iter().filter(|s| !s.test) {
        for (name, places) in CRATES.iter().filter(|(_, places)| !in_place(&s.path, places)) {
            for (at, _) in s.code.match_indices(&format!("{name}::")) {
                let before = s.code[..at].chars().next_back();
                if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    violations.push(format!("src/{}:{}: {name} belongs into {places:?}", s.path, s.line(at)));
                }
            }
        }
    }
    none(violations);
}

#[test]
fn decoding_does_not_know_encoding() {
    let mut violations = Vec::new();
    for s in read_all()
        .iter()
        .filter(|s| !s.gated && s.path != "lib.rs" && s.module() != "bin")
    {
        let code = s.without(is_gate);
        // Declarations of encoding's own items (`fn encode`) are not uses of it: only paths count.
        let mut from = 0;
        while let Some(at) = code[from..].find("use ").map(|at| from + at) {
            let end = at + code[at..].find(';').unwrap_or(code.len() - at);
            from = end;
            let starts = at == 0 || code[..at].ends_with(['\n', ' ', '{', '(', ')']);
            let words = code[at..end].split(|c: char| !(c.is_alphanumeric() || c == '_'));
            for name in words.filter(|w| starts && ENCODING.contains(w)) {
                violations.push(format!("src/{}:{}: a decoder must not use {name}", s.path, s.line(at)));
            }
        }
    }
    none(violations);
}

#[test]
fn unsafe_is_where_it_is_known_and_says_why() {
    let sources = read_all();
    let mut violations = Vec::new();
    for s in &sources {
        let lines: Vec<&str> = s.text.lines().collect();
        let mut any = false;
        for (at, _) in s.code.match_indices("unsafe ") {
            if s.code[..at]
                .chars()
                .next_back()
                .is_some_and(|c| c.is_alphanumeric() || c == '_')
            {
                continue;
            }
            any = true;
            let number = s.line(at) - 1;
            let says = |range: std::ops::Range<usize>| {
                lines[range]
                    .iter()
                    .any(|l| l.contains("SAFETY:") || l.contains("# Safety"))
            };
            // A method of an unsafe trait has the trait's terms.
            let is_method = s.code[at..].starts_with("unsafe fn") && lines[number].starts_with("    ") && {
                let outer = lines[..number]
                    .iter()
                    .rev()
                    .find(|l| !l.is_empty() && !l.starts_with([' ', '/', '#', '}']));
                outer.is_some_and(|l| l.contains("unsafe trait") || l.contains("unsafe impl"))
            };
            if !is_method && !says(number.saturating_sub(7)..number + 1) {
                violations.push(format!("src/{}:{}: no word on why this is safe", s.path, number + 1));
            }
        }
        if any != UNSAFE.contains(&s.path.as_str()) {
            let what = if any {
                "has unsafe code and is not listed"
            } else {
                "is listed and has no unsafe code"
            };
            violations.push(format!("src/{} {what}", s.path));
        }
    }
    none(violations);
}

#[test]
fn the_reader_of_sources_sees_what_is_there() {
    let sources = read_all();
    let find = |path: &str| sources.iter().find(|s| s.path == path).unwrap();
    assert!(find("codec/encode/mod.rs").gated && find("encoder.rs").gated && !find("decoder.rs").gated);
    assert!(find("entropy/rans/tests.rs").test && !find("entropy/rans/vector.rs").test);
    let freq = find("entropy/freq.rs");
    assert!(freq.code.contains("BitWriter") && !freq.without(is_gate).contains("BitWriter"));
    let decoder = find("decoder.rs");
    let uses: Vec<String> = decoder.uses(&decoder.code).into_iter().map(|(_, name)| name).collect();
    assert!(
        ["codec", "container", "error", "format"]
            .iter()
            .all(|m| uses.contains(&(*m).to_owned())),
        "{uses:?}"
    );
    assert_eq!(reexported(&sources, "DecodeOptions").as_deref(), Some("decoder"));
    assert_eq!(reexported(&sources, "Effort").as_deref(), Some("codec"));
}

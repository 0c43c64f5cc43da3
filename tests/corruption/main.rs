//! Damaged and hostile files: a typed error that says where, or the right data; never a panic.
#![cfg(feature = "safetensors")]

#[path = "../support/mod.rs"]
mod support;

mod flips;
mod hostile;
mod index;

use support::{judge, sample};
use wcodec::{Backend, Decoder};

#[test]
fn the_samples_use_every_method() {
    let recipes = [
        sample::small().recipes(),
        sample::rich().recipes(),
        sample::quantised().recipes(),
    ]
    .concat();
    let any = |what: &str, test: &dyn Fn(&str) -> bool| {
        assert!(recipes.iter().any(|r| test(r)), "no sample has {what}: {recipes:#?}");
    };
    any("raw", &|r| r.starts_with("raw"));
    any("constant", &|r| r.starts_with("constant"));
    any("float without scale", &|r| {
        r.starts_with("float") && r.contains("columns=0")
    });
    any("float with scale", &|r| {
        r.starts_with("float") && !r.contains("columns=0")
    });
    any("bytes", &|r| r.starts_with("bytes") && r.contains("tables=1 "));
    any("levels", &|r| r.starts_with("levels"));
    any("levels in tiles", &|r| r.starts_with("tiled-levels"));
    any("tiles", &|r| r.starts_with("tiles"));
    any("bytes with thresholds", &|r| {
        r.starts_with("bytes") && !r.contains("tables=1 ")
    });
    let levels = sample::quantised();
    let outliers = &levels.layout.tensors[0];
    assert!(levels.bytes[outliers.head.start + 20] > 0, "no escape among the levels");
    let sample = sample::small();
    let escapes = |t: &support::wire::Payload| sample.bytes[t.head.start + 20] > 0;
    assert!(
        sample.layout.tensors.iter().any(|t| t.name == "escapes" && escapes(t)),
        "no escape in the sample"
    );
    let decoder = Decoder::from_bytes(sample.bytes.clone(), "sample").unwrap();
    let recipe = |name: &str| decoder.tensor(name).unwrap().info().recipe_text().to_owned();
    assert!(recipe("widened").contains("stored=BF16"), "{}", recipe("widened"));
    assert!(recipe("wide").starts_with("bytes"), "{}", recipe("wide"));
}

#[test]
fn undamaged_samples_decode() {
    for sample in [sample::small(), sample::rich(), sample::quantised()] {
        let results = judge::decode_all(&sample.bytes).unwrap();
        for ((name, want), (_, got)) in sample.tensors.iter().zip(results) {
            let (data, right) = got.unwrap();
            assert!(data == *want && right, "{name}");
        }
        // Resealing an undamaged file changes nothing: the tests know the format.
        let mut bytes = sample.bytes.clone();
        sample.layout.reseal(&mut bytes);
        assert!(bytes == sample.bytes);
    }
}

#[test]
fn cut_off_anywhere() {
    let sample = sample::small();
    for len in 0..sample.bytes.len() {
        let cut = sample.bytes[..len].to_vec();
        for backend in Backend::available() {
            let error = judge::open(cut.clone(), backend).expect_err("a file that is cut off");
            judge::check_error(&error);
        }
    }
}

/// A source that has some of its bytes in memory gives what one has that has all or none.
#[test]
fn bytes_in_memory_in_part() {
    struct Partly(judge::Unmapped, u64);
    impl wcodec::Source for Partly {
        fn len(&self) -> u64 {
            self.0.len()
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            self.0.read_at(offset, buffer)
        }
        fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
            let range = offset as usize..offset as usize + len;
            (range.end as u64 <= self.1).then(|| &self.0.0[range])
        }
        fn name(&self) -> &str {
            "partly"
        }
    }
    let sample = sample::rich();
    let full = sample.bytes.len() as u64;
    for part in 0..=16 {
        let source = Partly(judge::Unmapped(sample.bytes.clone()), full * part / 16);
        let decoder = Decoder::from_source(std::sync::Arc::new(source), wcodec::DecodeOptions::default()).unwrap();
        decoder.tensors().for_each(|t| t.verify().unwrap());
    }
}

#[test]
fn cut_off_behind_the_readers_back() {
    // The source says that it is longer than it is: what cannot be read is an I/O error.
    struct Liar(judge::Unmapped, u64);
    impl wcodec::Source for Liar {
        fn len(&self) -> u64 {
            self.1
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            self.0.read_at(offset, buffer)
        }
        fn name(&self) -> &str {
            "liar"
        }
    }
    let sample = sample::small();
    let full = sample.bytes.len();
    for len in (0..full).step_by(97) {
        let source = Liar(judge::Unmapped(sample.bytes[..len].to_vec()), full as u64);
        let failed = Decoder::from_source(std::sync::Arc::new(source), wcodec::DecodeOptions::default())
            .and_then(|d| d.tensors().try_for_each(|t| t.decode().map(drop)));
        match failed {
            Err(wcodec::Error::Io { context, .. }) => assert!(context.contains("liar"), "{context}"),
            // Only padding is missing.
            Ok(()) => assert!(len > full - 16, "{len} of {full}"),
            Err(e) => panic!("{e:?}"),
        }
    }
}

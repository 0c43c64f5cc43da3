use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Writes a safetensors file of I8 tensors of these sizes, all zeros.
fn zeros(path: &Path, sizes: &[u64]) {
    let (mut entries, mut end) = (BTreeMap::new(), 0);
    for (i, size) in sizes.iter().enumerate() {
        let entry = serde_json::json!({ "dtype": "I8", "shape": [size], "data_offsets": [end, end + size] });
        entries.insert(i.to_string(), entry);
        end += size;
    }
    let json = serde_json::to_vec(&entries).unwrap();
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    fs::write(path, &header).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(header.len() as u64 + end).unwrap();
}

/// Fails where the first tensor is done, and slows the digest down.
struct Failing(std::thread::ThreadId);

impl Progress for Failing {
    fn advance(&self, _: u64, _: &str) {
        panic!("the encoding ends here");
    }

    fn cancelled(&self) -> bool {
        if std::thread::current().id() != self.0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        false
    }
}

#[test]
fn the_digest_stops_when_encoding_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    // 16 parts, after each of which the digest sleeps.
    zeros(&input, &[8, 256 << 20]);
    let begun = Instant::now();
    let progress = Failing(std::thread::current().id());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        encode(&input, &output, &EncodeOptions::lossless(), &progress)
    }));
    assert!(result.is_err());
    assert!(
        begun.elapsed() < Duration::from_millis(16 * 300),
        "{:?}",
        begun.elapsed()
    );
    assert!(!output.exists());
}

/// Cancels when so many blocks of a file are done.
struct Blocks {
    name: &'static str,
    left: Mutex<usize>,
}

impl Progress for Blocks {
    fn advance(&self, _: u64, name: &str) {
        let mut left = self.left.lock().unwrap();
        if name == self.name {
            *left = left.saturating_sub(1);
        }
    }

    fn cancelled(&self) -> bool {
        *self.left.lock().unwrap() == 0
    }
}

#[test]
fn copies_are_made_block_by_block() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    zeros(&input.join("model.safetensors"), &[1000]);
    fs::write(input.join("big.bin"), vec![7; 5 << 20]).unwrap();
    let names = || {
        let mut names: Vec<_> = files(&output).iter().map(|p| plan::name(p)).collect();
        names.sort();
        names
    };
    fn files(folder: &Path) -> Vec<std::path::PathBuf> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect()
    }
    let cancel_after = |left| Blocks {
        name: "big.bin",
        left: Mutex::new(left),
    };
    let options = EncodeOptions::lossless();
    let result = encode(&input, &output, &options, &cancel_after(2));
    assert!(matches!(result, Err(Error::Cancelled)));
    // Whole files only, and nothing under another name.
    assert_eq!(names(), ["model.wcodec"]);

    encode(&input, &output, &options, &cancel_after(usize::MAX)).unwrap();
    assert_eq!(names(), ["big.bin", "model.wcodec"]);
    let copy = fs::read(output.join("big.bin")).unwrap();
    assert!(copy == fs::read(input.join("big.bin")).unwrap());
}

#[test]
fn a_model_card_that_is_not_wanted_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    zeros(&input.join("model.safetensors"), &[600]);
    fs::write(input.join("README.md"), "# Another\n").unwrap();
    for (wanted, expected) in [(true, "# Another\n"), (false, "---\ntags:")] {
        let options = EncodeOptions::default();
        publish(&input, &output, "me/m", &options, &(), &|file| {
            wanted || file != "README.md"
        })
        .unwrap();
        let card = fs::read_to_string(output.join("README.md")).unwrap();
        assert!(card.starts_with(expected), "{card}");
    }
}

//! The evaluation suite, on the project's own model and on small random ones.

#[cfg(feature = "cli")]
mod baseline;
mod calibration;
#[cfg(feature = "cli")]
mod certificates;
#[cfg(feature = "cli")]
mod curves;
mod errors;
mod forward;
mod kept;
#[cfg(feature = "cli")]
mod killed;
mod known;
#[cfg(feature = "cli")]
mod limits;
#[cfg(feature = "cli")]
mod pages;
#[cfg(feature = "cli")]
mod program;
mod quantised;
#[cfg(feature = "cli")]
mod refused;
#[cfg(feature = "cli")]
mod resumed;
mod tasks;
mod texts;
#[path = "../support/transformers.rs"]
mod transformers;

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wcodec::EncodeOptions;
use wcodec::eval::{At, Load, Models};

/// Genesis 1, 1 to 10, King James Version: public domain.
const TEXT: &str = "\
In the beginning God created the heaven and the earth.
And the earth was without form, and void; and darkness was upon the face of the deep. And the Spirit of God \
moved upon the face of the waters.
And God said, Let there be light: and there was light.
And God saw the light, that it was good: and God divided the light from the darkness.
And God called the light Day, and the darkness he called Night. And the evening and the morning were the first day.
And God said, Let there be a firmament in the midst of the waters, and let it divide the waters from the waters.
And God made the firmament, and divided the waters which were under the firmament from the waters which were \
above the firmament: and it was so.
And God called the firmament Heaven. And the evening and the morning were the second day.
And God said, Let the waters under the heaven be gathered together unto one place, and let the dry land appear: \
and it was so.
And God called the dry land Earth; and the gathering together of the waters called he Seas: and God saw that it was good.
";

/// Items of all three shapes.
const ITEMS: &str = r#"{"id": "light", "context": "And God said, Let there be light: and there was", "choices": [" light.", " a man that had a withered hand.", " darkness."], "gold": 0}
{"id": "day", "context": "And the evening and the morning were the first", "choices": [" chariot", " day."], "gold": 1}
{"id": "who", "contexts": ["And the king said", "And the Philistines said"], "continuation": " unto his servants,", "gold": 0}
{"id": "israel", "context": "And the LORD spake unto Moses, saying, Speak unto the children of", "target": " Israel"}
{"id": "zebra", "context": "And the LORD spake unto Moses, saying, Speak unto the children of", "target": " zebras"}
{"context": "In the beginning God created", "choices": [" the heaven and the earth.", " the Philistines,", " of the", " and"], "gold": 0}
"#;

fn kjv() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv")
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A file of a folder.
fn file(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn text() -> Vec<(At, String)> {
    let at = At {
        file: "genesis".into(),
        line: 0,
    };
    vec![(at, TEXT.into())]
}

/// The project's own model, encoded.
fn encoded(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("kjv.wcodec");
    let options = EncodeOptions::lossless();
    wcodec::checkpoint::encode(&kjv().join("model.safetensors"), &path, &options, &()).unwrap();
    path
}

/// The project's own model with one tensor changed.
fn changed(folder: &TempDir, tensor: &str, change: impl Fn(&Tensor) -> Tensor) -> PathBuf {
    let path = folder.path().join("changed.safetensors");
    let original = kjv().join("model.safetensors");
    let mut tensors: HashMap<String, Tensor> = candle_core::safetensors::load(original, &Device::Cpu).unwrap();
    let old = tensors[tensor].clone();
    tensors.insert(tensor.into(), change(&old));
    candle_core::safetensors::save(&tensors, &path).unwrap();
    path
}

/// With the weights of one matrix multiplied.
#[cfg(feature = "cli")]
fn scaled(folder: &TempDir, by: f64) -> PathBuf {
    changed(folder, "model.layers.3.mlp.down_proj.weight", |old| (old * by).unwrap())
}

fn models(reference: &Path, candidate: &Path) -> Models {
    Models::open(reference, candidate, &Load::default()).unwrap()
}

//! What is quantised in the files of a model, and what that is expected to cost.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use wcodec::Decoder;
use wcodec::format::TensorInfo;

/// Of one file, or of all files of a model together.
#[derive(Default)]
pub(crate) struct Quantised {
    tensors: usize,
    of: usize,
    weights: f64,
    quantised_weights: f64,
    bytes: u64,
    payload: u64,
    /// The sum of what is expected of tensors, in nats a token; `None` if nothing is known of any.
    loss: Option<f64>,
}

impl Quantised {
    /// What the index says of quantised tensors.
    pub(crate) fn of(decoder: &Decoder) -> Self {
        let mut sum = Self {
            bytes: decoder.file_len(),
            ..Self::default()
        };
        for tensor in decoder.index().tensors() {
            let weights = tensor.shape().iter().map(|&d| d as f64).product::<f64>();
            sum.of += 1;
            sum.weights += weights;
            if tensor.noise().is_some() {
                sum.tensors += 1;
                sum.quantised_weights += weights;
                sum.payload += tensor.encoded_len();
            }
        }
        let losses = decoder.index().tensors().iter().filter_map(TensorInfo::loss);
        sum.loss = losses.reduce(|a, b| a + b);
        sum
    }

    /// Of a file, or of all files of a folder.
    pub(crate) fn of_output(path: &Path) -> Result<Self, wcodec::Error> {
        let mut sum = Self::default();
        for file in encoded_files(path) {
            let own = Self::of(&Decoder::open(&file)?);
            sum.tensors += own.tensors;
            sum.of += own.of;
            sum.weights += own.weights;
            sum.quantised_weights += own.quantised_weights;
            sum.bytes += own.bytes;
            sum.payload += own.payload;
            sum.loss = sum.loss.into_iter().chain(own.loss).reduce(|a, b| a + b);
        }
        Ok(sum)
    }

    /// Whether anything is lost.
    pub(crate) fn is_some(&self) -> bool {
        self.tensors > 0
    }

    /// Bits a weight of the files, everything counted.
    pub(crate) fn bits(&self) -> f64 {
        8.0 * self.bytes as f64 / self.weights.max(1.0)
    }

    /// Bits a weight of the quantised tensors.
    fn quantised_bits(&self) -> f64 {
        8.0 * self.payload as f64 / self.quantised_weights.max(1.0)
    }

    /// For people: what became of the weights.
    pub(crate) fn text(&self) -> String {
        let loss = self
            .loss
            .map_or(String::new(), |loss| format!(", expected loss {loss:.2e} nats a token"));
        format!(
            "quantised: {} of {} tensors, {:.3} bits a weight ({:.3} of the quantised tensors){loss}",
            self.tensors,
            self.of,
            self.bits(),
            self.quantised_bits()
        )
    }

    /// For programs.
    pub(crate) fn add_to(&self, value: &mut Value) {
        value["quantised_tensors"] = json!(self.tensors);
        value["bits_per_weight"] = json!(self.bits());
        value["quantised_bits_per_weight"] = json!(self.is_some().then(|| self.quantised_bits()));
        value["expected_loss"] = json!(self.loss);
    }
}

/// The `.wcodec` files of a folder by name; of a file itself.
pub(crate) fn encoded_files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return vec![path.to_owned()];
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "wcodec"));
    files.sort();
    files
}

//! All measurements of a model.

use super::load::{Loads, Pair, candle_type};
use super::measure::{self, TensorFacts};
use crate::Global;
use crate::eval::Suite;
use crate::failure::Failure;
use crate::progress::Display;
use std::path::PathBuf;
use std::time::Instant;
use wcodec::eval::ModelFiles;
use wcodec::{Decoder, Progress, checkpoint};

/// The accuracy that an encoded model may lose, in percentage points.
pub(super) const ACCURACY_DROP: f64 = 0.1;

/// All that was found.
pub(super) struct Found {
    pub(super) name: String,
    /// Bytes of the files.
    pub(super) original: u64,
    pub(super) encoded: u64,
    pub(super) tensors: Vec<TensorFacts>,
    /// Bytes that were compared with the original's: all of them.
    pub(super) compared: u64,
    pub(super) verify_seconds: f64,
    /// Loads, or why there are none.
    pub(super) loads: Result<Vec<Loads>, String>,
    /// Tensors that are left out of the loads, as Candle has no such type.
    pub(super) not_loaded: usize,
    /// Seconds until the first logits, or why that is not known.
    pub(super) warm_up: Result<f64, String>,
    pub(super) accuracy: Option<crate::eval::Report>,
}

/// Measures a model: encodes it first, or restores it.
pub(super) fn measure(
    files: &ModelFiles,
    suite: Option<&Suite>,
    runs: usize,
    global: &Global,
) -> Result<Found, Failure> {
    let scratch = tempfile::Builder::new().prefix("wcodec-baseline-").tempdir();
    let scratch = scratch.map_err(Failure::io("making a temporary folder"))?;
    let (original, encoded) = both_formats(files, scratch.path(), global)?;

    let mut tensors = Vec::new();
    let (mut compared, mut verify_seconds) = (0, 0.0);
    for (original, encoded) in original.iter().zip(&encoded) {
        let decoder = Decoder::open_with(encoded, global.decode_options())?;
        let bytes = decoder.index().tensors().iter().map(|t| t.byte_len()).sum();
        {
            let progress = Display::new("comparing", global);
            let begun = Instant::now();
            checkpoint::verify(encoded, Some(original), global.decode_options(), &progress)?;
            verify_seconds += begun.elapsed().as_secs_f64();
            compared += len(original)?;
        }
        let progress = Display::new("analysing", global);
        progress.start(bytes);
        tensors.extend(measure::tensors(&decoder, &progress)?);
    }

    let loadable = |t: &TensorFacts| candle_type(t.dtype).map(|dtype| (t.name.clone(), dtype));
    let pair = Pair {
        original: &original,
        encoded: &encoded,
        tensors: tensors.iter().filter_map(loadable).collect(),
    };
    let progress = Display::new("loading", global);
    let loads = match pair.measure(runs, global.decode_options(), &progress) {
        Err(e) if e.is_cancelled() => return Err(e),
        other => other.map_err(|e| e.message()),
    };
    let warm_up = match &files.config {
        Some(config) => pair.warm_up(config, global.decode_options()).map_err(|e| e.message()),
        None => Err("no config.json is beside the weights".into()),
    };
    let not_loaded = tensors.len() - pair.tensors.len();
    drop(progress);

    let accuracy = suite.map(|suite| {
        let with = |weights: &[PathBuf], name: String| ModelFiles {
            name,
            weights: weights.to_vec(),
            ..files.clone()
        };
        let reference = with(&original, files.name.clone());
        let candidate = with(&encoded, format!("{}, encoded", files.name));
        let (report, kept) = suite.run(&reference, &[candidate], global)?;
        kept.finish()?;
        Ok::<_, Failure>(report)
    });
    let sum = |files: &[PathBuf]| files.iter().map(len).sum::<Result<u64, Failure>>();
    Ok(Found {
        name: files.name.clone(),
        original: sum(&original)?,
        encoded: sum(&encoded)?,
        tensors,
        compared,
        verify_seconds,
        loads,
        not_loaded,
        warm_up,
        accuracy: accuracy.transpose()?,
    })
}

fn len(path: &PathBuf) -> Result<u64, Failure> {
    let metadata = std::fs::metadata(path).map_err(Failure::io(format!("reading {}", path.display())))?;
    Ok(metadata.len())
}

/// The model's files as safetensors and as `.wcodec`, one of them made for this.
fn both_formats(
    files: &ModelFiles,
    scratch: &std::path::Path,
    global: &Global,
) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    let is_encoded = files
        .weights
        .iter()
        .any(|w| w.extension().is_some_and(|e| e == "wcodec"));
    let extension = if is_encoded { "safetensors" } else { "wcodec" };
    let progress = Display::new(if is_encoded { "decoding" } else { "encoding" }, global);
    let mut made = Vec::new();
    for path in &files.weights {
        let to = scratch
            .join(path.file_name().unwrap_or_default())
            .with_extension(extension);
        match is_encoded {
            true => checkpoint::decode(path, &to, global.decode_options(), &progress)?,
            false => drop(checkpoint::encode(path, &to, &global.encode_options(), &progress)?),
        }
        made.push(to);
    }
    match is_encoded {
        true => Ok((made, files.weights.clone())),
        false => Ok((files.weights.clone(), made)),
    }
}

//! A calibrated file, from the model and a text.

use super::finite::finite;
use super::gradients::WAYS;
use super::pass::Pass;
use super::quantiser::Quantiser;
use super::store::Store;
use crate::backend::Backend;
use crate::candle::{LoadOptions, shards};
use crate::checkpoint::{self, Lossy, Quantising};
use crate::encoder::{EncodeOptions, Report};
use crate::error::display;
use crate::eval::{Bos, ModelFiles, TextEncoder, read_text, weights};
use crate::progress::Progress;
use crate::{Error, Result};
use candle_core::{DType, Device};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What to calibrate with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Calibration {
    /// A text like those that the model is for.
    pub text: PathBuf,
    /// Tokens of it that are used, the first ones. Default 16384.
    pub tokens: usize,
    /// Tokens of a window. Default 512, or the model's positions if fewer.
    pub window: usize,
    /// Whether the loss is differentiated. Without it half the time is needed, and far more is lost at the same bits.
    /// Default true.
    pub gradients: bool,
    /// Folder for the statistics, which is kept. Default: one beside the output, deleted in the end.
    pub folder: Option<PathBuf>,
}

impl Calibration {
    /// By a text, with defaults.
    pub fn new(text: impl Into<PathBuf>) -> Self {
        Self {
            text: text.into(),
            tokens: 16384,
            window: 512,
            gradients: true,
            folder: None,
        }
    }
}

/// Windows that calibration needs at least.
const LEAST_WINDOWS: usize = 4;

/// Encodes a safetensors file or a model's folder with quantised weights, calibrated on a text. `config.json`
/// and `tokenizer.json` must be beside the weights. The first progress is told of tokens that go through layers,
/// the second of bytes. Of what is not as it should be, and was made up for, the second is told (weights or a tensor
/// that are kept, or quantised as without calibration).
///
/// # Errors
/// As [`checkpoint::encode_lossy`]; [`Error::Input`] if the text is too short or the model of no known kind;
/// [`Error::Compute`] if a layer's outputs or gradients are not finite.
pub fn encode(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    lossy: &Lossy,
    calibration: &Calibration,
    [calibrating, encoding]: [&dyn Progress; 2],
) -> Result<Vec<Report>> {
    let files = ModelFiles::find(input)?;
    let needs = |name: &str| Error::input(display(input), format!("no {name} beside it, which calibration needs"));
    let config = files.config.as_ref().ok_or_else(|| needs("config.json"))?;
    let config = ModelFiles::read_config(config).map_err(|e| match e {
        Error::Input { file, what } => Error::input(
            file,
            format!("{what}. Any model can be quantised without calibration (no --calibrate), at a larger loss"),
        ),
        other => other,
    })?;
    let tokenizer = files.tokenizer.as_ref().ok_or_else(|| needs("tokenizer.json"))?;
    let encoder = TextEncoder::open(tokenizer, Bos::Auto, &config)?;
    let window = calibration.window.min(config.max_positions()).max(2);
    let tokens = tokens(&encoder, calibration, window)?;
    let folder = calibration.folder.clone().unwrap_or_else(|| beside(output));
    let store = Store::open(&folder, &key(input, &tokens, window, calibration.gradients)?)?;
    let (vb, odd) = finite(weights::open(&files, DType::F32, &Device::Cpu, LoadOptions::default())?);
    let pass = Pass {
        config: &config,
        vb: vb.clone(),
        tokens: &tokens,
        window,
        store: &store,
        progress: calibrating,
        warnings: encoding,
    };
    let through = (config.layers * tokens.len()) as u64;
    if calibration.gradients {
        calibrating.start(through * (WAYS as u64 + 1));
        pass.gradients()?;
    } else {
        calibrating.start(through * 2);
        pass.estimates()?;
    }
    pass.ends()?;
    pass.hessians()?;
    for (name, count) in odd.lock().unwrap_or_else(|e| e.into_inner()).iter() {
        encoding.warn(&format!(
            "{name}: {count} weights are not finite: calibration took them for 0"
        ));
    }
    let quantiser = Quantiser::load(&store, vb, Backend::choose(options.backend)?, tokens.len())?;
    let quantising = Quantising {
        takes: &|spec| quantiser.takes(spec),
        unit: &|spec, data| quantiser.unit(spec, data),
        quantise: &|spec, data, strength| quantiser.quantise(spec, data, strength),
    };
    let reports = checkpoint::encode_with(input, output, options, lossy, &quantising, encoding)?;
    for name in quantiser.blind() {
        let what = "the text told nothing of it: quantised as without calibration";
        encoding.warn(&format!("{name}: {what}"));
    }
    if calibration.folder.is_none() {
        store.delete()?;
    }
    Ok(reports)
}

/// Whole windows of the text.
fn tokens(encoder: &TextEncoder, calibration: &Calibration, window: usize) -> Result<Vec<u32>> {
    let mut tokens = Vec::new();
    for (at, text) in read_text(&calibration.text)? {
        tokens.extend(encoder.bos());
        tokens.extend(encoder.encode(&text, &at)?);
        if tokens.len() >= calibration.tokens {
            break;
        }
    }
    let (got, least) = (tokens.len(), LEAST_WINDOWS * window);
    tokens.truncate(calibration.tokens.min(got) / window * window);
    if tokens.len() < least {
        let what = format!(
            "{} tokens are too few to calibrate on: {least} are needed at least, 16384 are good",
            got.min(calibration.tokens)
        );
        return Err(Error::input(display(&calibration.text), what));
    }
    Ok(tokens)
}

fn beside(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".calibration");
    output.with_file_name(name)
}

/// What statistics depend on: weights, tokens, and how they are gathered.
fn key(input: &Path, tokens: &[u32], window: usize, gradients: bool) -> Result<String> {
    const GATHERING: u32 = 2;
    let mut hasher = blake3::Hasher::new();
    tokens.iter().for_each(|t| {
        hasher.update(&t.to_le_bytes());
    });
    let files = match input.is_dir() {
        true => shards(input, "safetensors")?,
        false => vec![input.to_owned()],
    };
    for file in files {
        let reading = || Error::io(format!("reading {}", display(&file)));
        let mut file = File::open(&file).map_err(reading())?;
        std::io::copy(&mut file, &mut hasher).map_err(reading())?;
    }
    Ok(format!(
        "{GATHERING} {} {} {window} {gradients}",
        hasher.finalize().to_hex(),
        tokens.len()
    ))
}

//! A calibrated file, from the model and texts.

use super::expected;
use super::finite::finite;
use super::gradients::WAYS;
use super::memory::{Needs, Portions, Sizes};
use super::pass::Pass;
use super::quantiser::Quantiser;
use super::store::{KEY_MAGIC, Store};
use super::texts::{Texts, window};
use crate::backend::Backend;
use crate::candle::LoadOptions;
use crate::checkpoint::{self, Aim, Lossy, Order, Takes};
use crate::encoder::{EncodeOptions, Report};
use crate::error::display;
use crate::eval::{Bos, ModelFiles, TextEncoder, weights};
use crate::model::ModelConfig;
use crate::progress::Progress;
use crate::quant::Float;
use crate::{Error, Result};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What to calibrate with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Calibration {
    /// Texts like those that the model is for, each of another kind.
    pub texts: Vec<PathBuf>,
    /// Tokens that are used, the first ones of each text: of all as many, but where a text has fewer the longer ones
    /// give the rest. Default 16384.
    pub tokens: usize,
    /// Tokens of a window. Default 512, or the model's positions if fewer.
    pub window: usize,
    /// Whether the loss is differentiated. Without, far less time is needed, and more is lost at the same bits.
    /// Default true.
    pub gradients: bool,
    /// Leave the last eighth of each text out, so that it can be measured on.
    pub held_out: bool,
    /// Folder for the statistics, which is kept. Default: one beside the output, deleted in the end.
    pub folder: Option<PathBuf>,
    /// Most memory that calibrating and quantising may take, in bytes; mapped files do not count. A smaller limit takes more
    /// time, and may change the last bits of statistics. Default: none.
    pub memory: Option<u64>,
}

impl Calibration {
    /// By texts, with defaults.
    pub fn new(texts: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            texts: texts.into_iter().map(Into::into).collect(),
            tokens: 16384,
            window: 512,
            gradients: true,
            held_out: false,
            folder: None,
            memory: None,
        }
    }
}

impl Calibration {
    /// The folder for the statistics.
    pub(crate) fn statistics(&self, output: &Path) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| beside(output))
    }
}

/// Encodes a safetensors file or a model's folder with quantised weights, calibrated on texts. `config.json`
/// and `tokenizer.json` must be beside the weights. The first progress is told of tokens that go through layers,
/// the second of bytes. Of what is not as it should be, and was made up for, the second is told (weights or a tensor
/// that are kept, or quantised as without calibration).
///
/// # Errors
/// As [`checkpoint::encode_lossy`]; [`Error::Input`] if a text is too short, the model of no known kind, or more memory is
/// needed than is allowed, with how much;
/// [`Error::Compute`] if a layer's outputs or gradients are not finite.
pub fn encode(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    lossy: &Lossy,
    calibration: &Calibration,
    [calibrating, encoding]: [&dyn Progress; 2],
) -> Result<Vec<Report>> {
    let files = ModelFiles::original(input, &|_| true)?;
    checkpoint::check(input, options, lossy, takes(&files)?, true, &|_| true)?;
    let statistics = Statistics::gather(&files, calibration, output, [calibrating, encoding])?;
    let quantiser = statistics.quantiser(Backend::choose(options.backend)?)?;
    let order = Order {
        lossy,
        quantising: &quantiser.quantising(),
        aim: Aim::Bits,
        room: 0,
        wanted: &|_| true,
    };
    let (reports, _) = checkpoint::encode_with(input, output, options, &order, encoding)?;
    quantiser.warn(encoding);
    statistics.delete()?;
    Ok(reports)
}

/// What a model made of texts.
pub(crate) struct Statistics {
    store: Store,
    /// The weights, in F32; those that are not finite are 0.
    vb: VarBuilder<'static>,
    /// Of each text its SHA-256 and the tokens that were read.
    pub(crate) texts: Vec<(String, usize)>,
    /// Tokens of a window.
    pub(crate) window: usize,
    /// What the statistics depend on.
    pub(crate) key: String,
    /// Whether the folder is to be kept.
    kept: bool,
    /// Bytes for tensors that are quantised side by side, if they are limited.
    room: Option<u64>,
}

impl Statistics {
    /// Has the model read the texts, unless it has before. The second progress is told of what was made up for.
    pub(crate) fn gather(
        files: &ModelFiles,
        calibration: &Calibration,
        output: &Path,
        [progress, warnings]: [&dyn Progress; 2],
    ) -> Result<Self> {
        let needs = |name: &str| Error::input(&files.name, format!("no {name} beside it, which calibration needs"));
        let config = read_config(files)?;
        let tokenizer = files.tokenizer.as_ref().ok_or_else(|| needs("tokenizer.json"))?;
        let encoder = TextEncoder::open(tokenizer, Bos::Auto, &config)?;
        let window = window(calibration, &config);
        let texts = Texts::read(&encoder, calibration, window)?;
        let tokens = texts.tokens();
        texts.warn(calibration, window, warnings);
        let (vb, odd) = finite(weights::open(files, DType::F32, &Device::Cpu, LoadOptions::default())?);
        expected::check(files, &config)?;
        let sizes = Sizes {
            config: &config,
            tokens: tokens.len(),
            window,
            text: texts.bytes,
        };
        let portions = Portions::within(calibration.memory, &sizes, files)?;
        let needs = Needs::of(portions, &sizes, files)?;
        let folder = calibration.statistics(output);
        let key = key(files, &tokens, window, calibration.gradients, portions)?;
        let store = Store::open(&folder, &key)?;
        if store.replaced {
            warnings.warn(&format!(
                "{} had statistics of another model, text, number of tokens or way to gather them, which are replaced: a folder \
                 has one kind at a time",
                display(&folder)
            ));
        }
        store.room_for(Needs::on_disk(&sizes))?;
        let pass = Pass {
            config: &config,
            vb: vb.clone(),
            tokens: &tokens,
            window,
            portions,
            store: &store,
            progress,
            warnings,
        };
        let through = (config.layers * tokens.len()) as u64;
        if calibration.gradients {
            progress.start(through * (WAYS as u64 + 1));
            pass.gradients()?;
        } else {
            progress.start(through * 2);
            pass.forward()?;
        }
        pass.ends()?;
        pass.hessians()?;
        for (name, count) in odd.lock().unwrap_or_else(|e| e.into_inner()).iter() {
            warnings.warn(&format!(
                "{name}: {count} weights are not finite: calibration took them for 0"
            ));
        }
        Ok(Self {
            texts: texts.digests().collect(),
            window,
            key,
            kept: calibration.folder.is_some(),
            room: calibration.memory.map(|limit| needs.left(limit)),
            store,
            vb,
        })
    }

    pub(crate) fn quantiser(&self, backend: Backend) -> Result<Quantiser<'_>> {
        Quantiser::load(
            &self.store,
            self.vb.clone(),
            backend,
            self.texts.iter().map(|(_, tokens)| tokens).sum(),
            self.room,
        )
    }

    /// Deletes them, unless a folder was named for them.
    pub(crate) fn delete(&self) -> Result<()> {
        match self.kept {
            true => Ok(()),
            false => self.store.delete(),
        }
    }
}

fn read_config(files: &ModelFiles) -> Result<ModelConfig> {
    let none = || Error::input(&files.name, "no config.json beside it, which calibration needs");
    ModelFiles::read_config(files.config.as_ref().ok_or_else(none)?).map_err(|e| match e {
        Error::Input { file, what } => Error::input(
            file,
            format!("{what}. Any model can be quantised without calibration (no --calibrate), at a larger loss"),
        ),
        other => other,
    })
}

/// Which tensors of a model are quantised when it is calibrated.
pub(crate) fn takes(files: &ModelFiles) -> Result<Box<Takes<'static>>> {
    let names: HashSet<String> = expected::matrices(&read_config(files)?).map(|(name, _)| name).collect();
    Ok(Box::new(move |spec| {
        checkpoint::large_matrix(spec) || names.contains(&spec.name) && Float::of(spec.dtype).is_some()
    }))
}

fn beside(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".calibration");
    output.with_file_name(name)
}

/// What statistics depend on: weights, what the configuration makes of them, tokens, and how they are gathered.
fn key(files: &ModelFiles, tokens: &[u32], window: usize, gradients: bool, portions: Portions) -> Result<String> {
    const GATHERING: u32 = 3;
    let mut hasher = blake3::Hasher::new();
    tokens.iter().for_each(|t| {
        hasher.update(&t.to_le_bytes());
    });
    for file in files.weights.iter().chain(&files.config) {
        let reading = || Error::io(format!("reading {}", display(file)));
        let mut file = File::open(file).map_err(reading())?;
        std::io::copy(&mut file, &mut hasher).map_err(reading())?;
    }
    // Sums in floating point depend on what is summed together.
    let Portions { batch, logit_rows, .. } = portions;
    Ok(format!(
        "{KEY_MAGIC}{GATHERING} {} {} {window} {gradients} {batch} {logit_rows}",
        hasher.finalize().to_hex(),
        tokens.len()
    ))
}

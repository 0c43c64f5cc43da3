//! A calibrated file, from the model and texts.

use super::expected;
use super::finite::finite;
use super::gradients::WAYS;
use super::memory::{Needs, Portions, Sizes};
use super::pass::Pass;
use super::quantiser::Quantiser;
use super::store::{KEY_MAGIC, Store};
use crate::backend::Backend;
use crate::candle::LoadOptions;
use crate::checkpoint::{self, Aim, Lossy, Order, Takes};
use crate::encoder::{EncodeOptions, Report};
use crate::error::display;
use crate::eval::{Bos, ModelFiles, TextEncoder, read_text, split_last_eighth, weights};
use crate::model::ModelConfig;
use crate::progress::Progress;
use crate::quant::Float;
use crate::{Error, Result};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::collections::HashSet;
use std::fs::{self, File};
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

/// Windows that calibration needs at least.
const LEAST_WINDOWS: usize = 4;

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
    /// Tokens that were read of each text.
    pub(crate) tokens: Vec<usize>,
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
        let texts = calibration_tokens(&encoder, calibration, window)?;
        let tokens = texts.tokens();
        let (vb, odd) = finite(weights::open(files, DType::F32, &Device::Cpu, LoadOptions::default())?);
        expected::check(files, &config)?;
        let sizes = Sizes {
            config: &config,
            tokens: tokens.len(),
            window,
            text: texts.most,
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
            tokens: texts.of_text.iter().map(Vec::len).collect(),
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
            self.tokens.iter().sum(),
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

/// Bytes of a token, more than most have.
const TOKEN_BYTES: usize = 16;

/// The tokens that are calibrated on.
pub(crate) fn text_tokens(encoder: &TextEncoder, calibration: &Calibration, config: &ModelConfig) -> Result<Vec<u32>> {
    Ok(calibration_tokens(encoder, calibration, window(calibration, config))?.tokens())
}

fn window(calibration: &Calibration, config: &ModelConfig) -> usize {
    calibration.window.min(config.max_positions()).max(2)
}

/// What texts give.
struct CalibrationTokens {
    /// Whole windows of each.
    of_text: Vec<Vec<u32>>,
    /// How much memory reading takes, in units of tokenised bytes.
    most: u64,
}

impl CalibrationTokens {
    fn tokens(&self) -> Vec<u32> {
        self.of_text.concat()
    }
}

/// Has every text give as many windows; what a text lacks, those give that are longer.
fn calibration_tokens(encoder: &TextEncoder, calibration: &Calibration, window: usize) -> Result<CalibrationTokens> {
    let texts = &calibration.texts;
    let mut all = CalibrationTokens {
        of_text: vec![Vec::new(); texts.len()],
        most: 0,
    };
    let mut by_length: Vec<usize> = (0..texts.len()).collect();
    by_length.sort_by_key(|&i| fs::metadata(&texts[i]).map_or(0, |m| m.len()));
    let (mut windows, mut got) = (calibration.tokens / window, 0);
    for (before, &i) in by_length.iter().enumerate() {
        if texts[..i].contains(&texts[i]) {
            return Err(Error::input(display(&texts[i]), "named twice to calibrate on"));
        }
        let share = windows / (texts.len() - before) * window;
        let (mut tokens, most) = first_tokens(encoder, &texts[i], calibration.held_out, share)?;
        got += tokens.len().min(calibration.tokens);
        tokens.truncate(share.min(tokens.len()) / window * window);
        if tokens.is_empty() && texts.len() > 1 {
            let what = "it is too short to calibrate on: of several texts each gives a window at least, which is";
            let more = "leave it out, or ask for more tokens (--calibration-tokens)";
            return Err(Error::input(
                display(&texts[i]),
                format!("{what} {window} tokens{}: {more}", behind(calibration)),
            ));
        }
        windows -= tokens.len() / window;
        all.of_text[i] = tokens;
        all.most = all.most.max(most);
    }
    let (read, least) = (all.of_text.iter().map(Vec::len).sum::<usize>(), LEAST_WINDOWS * window);
    if read < least {
        let what = format!(
            "{} tokens{} are too few to calibrate on: {least} are needed at least, which is {LEAST_WINDOWS} windows of \
             {window}, and 16384 are good",
            got.min(calibration.tokens),
            behind(calibration),
        );
        let names: Vec<String> = texts.iter().map(display).collect();
        return Err(Error::input(names.join(", "), what));
    }
    Ok(all)
}

/// Where the tokens are that are counted.
fn behind(calibration: &Calibration) -> &'static str {
    match calibration.held_out {
        true => " before the last eighth, which is held out",
        false => "",
    }
}

/// So many tokens of a text or a few more, or all that it has; and how much memory is taken for it in units of tokenised
/// bytes.
fn first_tokens(encoder: &TextEncoder, path: &Path, held_out: bool, wanted: usize) -> Result<(Vec<u32>, u64)> {
    let (mut tokens, mut most) = (Vec::new(), 0);
    let mut documents = read_text(path)?;
    let read: usize = documents.iter().map(|(_, text)| text.len()).sum();
    if held_out {
        documents = split_last_eighth(documents).0;
    }
    for (at, text) in documents {
        tokens.extend(encoder.bos());
        // Of a long text as much as is likely to be enough: its tokens take far more memory than itself.
        let likely = TOKEN_BYTES.saturating_mul(wanted - tokens.len().min(wanted));
        let end = (0..=likely.min(text.len())).rev().find(|&i| text.is_char_boundary(i));
        let start = &text[..end.unwrap_or(0)];
        let mut own = encoder.encode(start, &at)?;
        most = most.max(start.len());
        if start.len() < text.len() && tokens.len() + own.len() <= wanted {
            own = encoder.encode(&text, &at)?;
            most = most.max(text.len());
        }
        tokens.extend(own);
        if tokens.len() >= wanted {
            break;
        }
    }
    Ok((tokens, (most + read / 64) as u64))
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

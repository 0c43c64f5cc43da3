//! The tokens that are calibrated on.

use super::Calibration;
use crate::checkpoint;
use crate::error::display;
use crate::eval::{TextEncoder, read_text, split_last_eighth};
use crate::model::ModelConfig;
use crate::progress::Progress;
use crate::{Error, Result};
use std::path::Path;

/// Windows that calibration needs at least.
const LEAST_WINDOWS: usize = 4;

/// What texts give, in their order.
pub(super) struct Texts {
    of_text: Vec<Text>,
    /// Most memory that reading one takes, in units of tokenised bytes.
    pub(super) bytes: u64,
}

struct Text {
    sha256: String,
    /// Whole windows.
    tokens: Vec<u32>,
}

/// Tokens of a window.
pub(super) fn window(calibration: &Calibration, config: &ModelConfig) -> usize {
    calibration.window.min(config.max_positions()).max(2)
}

/// The tokens that are calibrated on.
pub(crate) fn text_tokens(encoder: &TextEncoder, calibration: &Calibration, config: &ModelConfig) -> Result<Vec<u32>> {
    Ok(Texts::read(encoder, calibration, window(calibration, config))?.tokens())
}

impl Texts {
    /// Has every text give as many windows; what a text lacks, those give that are longer.
    pub(super) fn read(encoder: &TextEncoder, calibration: &Calibration, window: usize) -> Result<Self> {
        let (paths, mut windows) = (&calibration.texts, calibration.tokens / window);
        let least = LEAST_WINDOWS.max(paths.len());
        if windows < least {
            return Err(Error::usage(format!(
                "{} tokens to calibrate on (--calibration-tokens) are too few: {} are needed, which is {least} windows of {window}, \
                 and 16384 are good",
                calibration.tokens,
                least * window
            )));
        }
        let mut all = Self {
            of_text: Vec::new(),
            bytes: 0,
        };
        for path in paths {
            let sha256 = checkpoint::digest(path, &())?;
            if let Some(other) = all.of_text.iter().position(|t| t.sha256 == sha256) {
                let what = format!("it is the same text as {}: each counts once", display(&paths[other]));
                return Err(Error::input(display(path), what));
            }
            let (mut tokens, bytes) = first_tokens(encoder, path, calibration.held_out, calibration.tokens)?;
            let (found, needed) = (tokens.len(), if paths.len() > 1 { 1 } else { LEAST_WINDOWS });
            tokens.truncate(found / window * window);
            if tokens.len() < needed * window {
                let what = format!(
                    "it has {found} tokens{}, too few to calibrate on: {} are needed, {}",
                    match calibration.held_out {
                        true => " before the last eighth, which is held out",
                        false => "",
                    },
                    needed * window,
                    match paths.len() {
                        1 => format!("which is {needed} windows of {window}, and 16384 are good"),
                        _ => "which is a window, of each of several texts".to_owned(),
                    }
                );
                return Err(Error::input(display(path), what));
            }
            all.bytes = all.bytes.max(bytes);
            all.of_text.push(Text { sha256, tokens });
        }
        let mut by_length: Vec<&mut Text> = all.of_text.iter_mut().collect();
        by_length.sort_by_key(|t| t.tokens.len());
        for (before, text) in by_length.into_iter().enumerate() {
            let share = windows / (paths.len() - before);
            text.tokens.truncate(share * window);
            windows -= text.tokens.len() / window;
        }
        if all.tokens().len() < LEAST_WINDOWS * window {
            let what = format!(
                "together they have {} windows of {window} tokens to calibrate on, and {LEAST_WINDOWS} are needed: 16384 tokens are good",
                all.tokens().len() / window
            );
            let names: Vec<String> = paths.iter().map(display).collect();
            return Err(Error::input(names.join(", "), what));
        }
        Ok(all)
    }

    /// All of them. The order in which texts are named changes nothing: sums in floating point would depend on it.
    pub(super) fn tokens(&self) -> Vec<u32> {
        let mut texts: Vec<&Text> = self.of_text.iter().collect();
        texts.sort_by_key(|t| &t.sha256);
        texts.iter().flat_map(|t| &t.tokens).copied().collect()
    }

    /// SHA-256 and number of tokens of each.
    pub(super) fn digests(self) -> impl Iterator<Item = (String, usize)> {
        self.of_text.into_iter().map(|t| (t.sha256, t.tokens.len()))
    }

    /// Says which of several texts have less than their share.
    pub(super) fn warn(&self, calibration: &Calibration, window: usize, warnings: &dyn Progress) {
        let share = calibration.tokens / window / self.of_text.len();
        for (text, path) in self.of_text.iter().zip(&calibration.texts) {
            let windows = text.tokens.len() / window;
            if windows < share && self.of_text.len() > 1 {
                warnings.warn(&format!(
                    "{}: it has {windows} whole windows of {window} tokens to calibrate on, and {share} were its share",
                    display(path)
                ));
            }
        }
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
        let (own, bytes) = encoder.encode_start(&text, &at, wanted - tokens.len().min(wanted))?;
        most = most.max(bytes);
        tokens.extend(own);
        if tokens.len() >= wanted {
            break;
        }
    }
    Ok((tokens, (most + read / 64) as u64))
}

//! Text to tokens.

use super::At;
use crate::error::display;
use crate::model::ModelConfig;
use crate::{Error, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tokenizers::Tokenizer;

/// Whether a text begins with the beginning-of-text token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bos {
    /// If the tokenizer puts one there by itself.
    #[default]
    Auto,
    /// Always: the tokenizer's, else that of the model's configuration.
    Always,
    /// Never.
    Never,
}

/// Whether two tokenizer files say the same, but for what is cut and padded for training.
pub(super) fn same_tokenizer(a: &Path, b: &Path) -> Result<bool> {
    let read = |path: &Path| fs::read(path).map_err(Error::io(format!("reading {}", display(path))));
    let (bytes, others) = (read(a)?, read(b)?);
    if bytes == others {
        return Ok(true);
    }
    let parse = |path: &Path, bytes: &[u8]| {
        let json: serde_json::Result<Value> = serde_json::from_slice(bytes);
        let mut json = json.map_err(|e| Error::input(display(path), format!("not a tokenizer: {e}")))?;
        if let Some(fields) = json.as_object_mut() {
            fields.remove("truncation");
            fields.remove("padding");
        }
        Ok::<_, Error>(json)
    };
    Ok(parse(a, &bytes)? == parse(b, &others)?)
}

/// A tokenizer, held to a model's vocabulary.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    bos: Option<u32>,
    vocab: usize,
}

/// Bytes of a token, more than most have.
const TOKEN_BYTES: usize = 16;
/// Tokens before a cut that may be others than in the whole text: more than a tokenizer looks ahead.
const CUT: usize = 64;

impl TextEncoder {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Input`] if it is none; if a beginning-of-text token is wanted and not known, or is
    /// outside the vocabulary.
    pub fn open(path: &Path, bos: Bos, config: &ModelConfig) -> Result<Self> {
        let file = path.display().to_string();
        let wrong = |e: tokenizers::Error| Error::input(&file, format!("not a tokenizer: {e}"));
        let mut tokenizer = Tokenizer::from_file(path).map_err(wrong)?;
        // Some files cut and pad for training.
        tokenizer.with_truncation(None).map_err(wrong)?;
        tokenizer.with_padding(None);
        let ids = |special| tokenizer.encode("a", special).map(|e| e.get_ids().to_vec());
        let (plain, special) = (ids(false).map_err(wrong)?, ids(true).map_err(wrong)?);
        let own = special
            .first()
            .copied()
            .filter(|_| special.len() > plain.len() && special.first() != plain.first());
        let vocab = config.vocab_size();
        let bos = match bos {
            Bos::Never => None,
            Bos::Auto => own,
            Bos::Always => Some(own.or(config.bos_token()).ok_or_else(|| {
                Error::input(
                    &file,
                    "neither the tokenizer nor the configuration has a beginning-of-text token",
                )
            })?),
        };
        let encoder = Self { tokenizer, bos, vocab };
        encoder.fits(bos.as_slice(), &file)?;
        Ok(encoder)
    }

    /// The token that each text begins with.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens of a text, without special ones.
    ///
    /// # Errors
    /// [`Error::Input`] at `at` if a token is outside the model's vocabulary; [`Error::Compute`] if
    /// the tokenizer fails.
    pub fn encode(&self, text: &str, at: &At) -> Result<Vec<u32>> {
        let failed = |e: tokenizers::Error| Error::Compute(format!("{at}: the tokenizer: {e}"));
        let tokens = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(failed)?
            .get_ids()
            .to_vec();
        self.fits(&tokens, at)?;
        Ok(tokens)
    }

    /// The first tokens of a text, `least` or more of them, or all that it has; and how many bytes of it were read at once.
    /// They are those of the whole text. Of a long one no more is read than is likely to be enough: its tokens
    /// take far more memory than itself.
    pub(crate) fn encode_start(&self, text: &str, at: &At, least: usize) -> Result<(Vec<u32>, usize)> {
        let mut likely = TOKEN_BYTES.saturating_mul(least.saturating_add(CUT));
        while likely < text.len() {
            let end = (0..=likely).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            let mut tokens = self.encode(&text[..end], at)?;
            tokens.truncate(tokens.len().saturating_sub(CUT));
            if tokens.len() >= least {
                return Ok((tokens, end));
            }
            likely = likely.saturating_mul(4);
        }
        Ok((self.encode(text, at)?, text.len()))
    }

    fn fits(&self, tokens: &[u32], at: impl std::fmt::Display) -> Result<()> {
        match tokens.iter().find(|&&t| t as usize >= self.vocab) {
            None => Ok(()),
            Some(token) => {
                let what = format!(
                    "the tokenizer gives token {token}, the model has {}: do they belong together?",
                    self.vocab
                );
                Err(Error::input(at.to_string(), what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_long_text_has_the_tokens_of_the_whole() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv");
        let config = std::fs::read(model.join("config.json")).unwrap();
        let config = ModelConfig::parse(&config, "config.json").unwrap();
        let encoder = TextEncoder::open(&model.join("tokenizer.json"), Bos::Auto, &config).unwrap();
        let at = At {
            file: "text".into(),
            line: 0,
        };
        let words: Vec<String> = (0..4000u32)
            .map(|i| format!("w\u{e9}{:x} ", i.wrapping_mul(0x9e37_79b9) >> 20))
            .collect();
        for text in [words.concat(), "\u{20ac}".repeat(20_000), "a".repeat(60_000)] {
            let whole = encoder.encode(&text, &at).unwrap();
            for least in [0, 1, 100, 500, whole.len(), usize::MAX] {
                let (start, bytes) = encoder.encode_start(&text, &at, least).unwrap();
                assert!(
                    start.len() >= least.min(whole.len()) && start == whole[..start.len()],
                    "{least}"
                );
                assert!(
                    bytes <= text.len() && (least > 100 || bytes < text.len()),
                    "{least}: {bytes}"
                );
            }
        }
    }
}

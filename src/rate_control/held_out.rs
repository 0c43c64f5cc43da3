//! The part of the calibration's text that it is measured on.

use crate::error::display;
use crate::eval::{At, TextEncoder, read_text, split_last_eighth};
use crate::{Error, Result};
use std::path::Path;

/// Windows that it has at least.
const LEAST_WINDOWS: usize = 4;

/// The last eighth of a text.
///
/// # Errors
/// [`Error::Input`] if it is shorter than four windows.
pub(super) fn read(path: &Path, encoder: &TextEncoder, window: usize) -> Result<Vec<(At, String)>> {
    let (_, texts) = split_last_eighth(read_text(path)?);
    let (mut tokens, least) = (0, LEAST_WINDOWS * window);
    for (at, text) in &texts {
        tokens += encoder.encode(text, at)?.len();
        if tokens >= least {
            return Ok(texts);
        }
    }
    let what = format!(
        "the last eighth of it, which is held out to measure on, has {tokens} tokens, and {least} are needed: take a text \
         of {} tokens or more, or name another one to measure on (--text)",
        8 * least
    );
    Err(Error::input(display(path), what))
}

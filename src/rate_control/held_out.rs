//! How long a text must be that is measured on, and the part of the calibration's text that is.

use crate::error::display;
use crate::eval::{Documents, TextEncoder, read_text, split_last_eighth};
use crate::{Error, Result};
use std::path::Path;

/// Windows that a text has at least: of fewer nobody can say how far off a figure is.
const LEAST_WINDOWS: usize = 4;

/// The tokens of a text if they are too few.
fn too_few(texts: &Documents, encoder: &TextEncoder, least: usize) -> Result<Option<usize>> {
    let mut tokens = 0;
    for (at, text) in texts {
        tokens += encoder.encode_start(text, at, least)?.0.len();
        if tokens >= least {
            return Ok(None);
        }
    }
    Ok(Some(tokens))
}

/// Refuses a text that is shorter than four windows.
pub(super) fn check_length(path: &Path, texts: &Documents, encoder: &TextEncoder, window: usize) -> Result<()> {
    let least = LEAST_WINDOWS * window;
    match too_few(texts, encoder, least)? {
        None => Ok(()),
        Some(tokens) => {
            let what = format!(
                "it has {tokens} tokens, and {least} are needed to measure on, which is {LEAST_WINDOWS} windows of {window}"
            );
            Err(Error::input(display(path), what))
        }
    }
}

/// The last eighth of a text.
///
/// # Errors
/// [`Error::Input`] if it is shorter than four windows.
pub(super) fn read(path: &Path, encoder: &TextEncoder, window: usize) -> Result<Documents> {
    let (_, texts) = split_last_eighth(read_text(path)?);
    let least = LEAST_WINDOWS * window;
    let Some(tokens) = too_few(&texts, encoder, least)? else {
        return Ok(texts);
    };
    let what = format!(
        "the last eighth of it, which is held out to measure on, has {tokens} tokens, and {least} are needed, which is \
         {LEAST_WINDOWS} windows of {window}: take a text of {} tokens or more, or name another one to measure on (--text)",
        8 * least
    );
    Err(Error::input(display(path), what))
}

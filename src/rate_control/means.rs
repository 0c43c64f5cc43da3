//! What is measured on, and goals that it cannot answer: refused before the work.

use super::request::{Goal, Request};
use super::suite::{self, Suite};
use crate::calibrate::{self, Calibration};
use crate::error::display;
use crate::eval::{Bos, Limits, ModelFiles, TextEncoder};
use crate::{Error, Result};
use std::path::PathBuf;

/// The part of a text that may be in what is calibrated on: licences and headings are in many texts.
const OVERLAP: f64 = 0.1;
/// Bytes that measuring takes besides the weights.
const MEASURING: u64 = 256 << 20;

/// Refuses to measure where that takes more memory than is allowed.
pub(super) fn fits(reference: &ModelFiles, limit: u64) -> Result<()> {
    let weights = || {
        reference
            .tensors()
            .map(|tensors| tensors.into_iter().map(|t| t.elements))
    };
    // Both models in F32, one tensor in its own type besides, states and logits.
    let needs = 8 * weights()?.sum::<u64>() + 6 * weights()?.max().unwrap_or(0) + MEASURING;
    if needs <= limit {
        return Ok(());
    }
    let what = format!(
        "measuring loads it and the quantised one whole, which takes {needs} bytes of memory ({} MB), and {limit} are \
         allowed (--memory): allow more, or ask for a size (--bits), without --text and --task, which measures nothing",
        needs.div_ceil(1_000_000)
    );
    Err(Error::input(&reference.name, what))
}

/// The texts of which the last eighth is held out, if there are any: where a limit needs a text and none is named.
pub(super) fn held_out(request: &Request) -> &[PathBuf] {
    let limits = match request.goal {
        Goal::Limits { limits, .. } => limits.divergence.or(limits.perplexity_increase).is_some(),
        Goal::Bits(_) => false,
    };
    let calibration = request.calibration.as_ref();
    calibration
        .filter(|_| limits && request.evaluation.texts.is_empty())
        .map_or(&[], |c| &c.texts)
}

/// Reads what is measured on, and refuses goals that it cannot answer; `None` if nothing is measured.
pub(super) fn suite(reference: &ModelFiles, request: &Request) -> Result<Option<Suite>> {
    let limits = match request.goal {
        Goal::Bits(_) if request.evaluation.texts.is_empty() && request.evaluation.tasks.is_empty() => return Ok(None),
        Goal::Bits(_) => None,
        Goal::Limits {
            limits,
            accept_uncertain,
        } => Some((limits, accept_uncertain)),
    };
    let needs = |name: &str| Error::input(&reference.name, format!("no {name} beside it, which measuring needs"));
    let config = ModelFiles::read_config(reference.config.as_ref().ok_or_else(|| needs("config.json"))?)?;
    calibrate::check_shapes(reference, &config)?;
    let tokenizer = reference.tokenizer.as_ref().ok_or_else(|| needs("tokenizer.json"))?;
    let encoder = TextEncoder::open(tokenizer, Bos::Auto, &config)?;
    let suite = Suite::read(&request.evaluation, held_out(request), &encoder, &config)?;
    if let Some((limits, accept_uncertain)) = limits {
        can_tell(&suite, &limits, accept_uncertain)?;
    }
    for text in request.calibration.iter().flat_map(|c| &c.texts) {
        if suite.reads_all_of(&suite::sha256(text)?) {
            let what = "it is a text that is calibrated on: what is measured on it would be too good. Name another one, or \
                        none: for a limit the last eighth of it is held out then";
            return Err(Error::input(display(text), what));
        }
    }
    let calibration = request.calibration.clone().map(|calibration| Calibration {
        held_out: !held_out(request).is_empty(),
        ..calibration
    });
    if let Some(calibration) = calibration
        && let Some((file, part)) =
            suite.overlap(&calibrate::text_tokens(&encoder, &calibration, &config)?, &encoder)?
        && part > OVERLAP
    {
        let what = format!(
            "{:.0} % of what would be measured of it is among what is calibrated on: what is measured on it would be too \
             good. Name another text",
            100.0 * part,
        );
        return Err(Error::input(file, what));
    }
    match suite.is_empty() {
        true => Err(Error::usage(
            "a limit needs something to be measured on: a text or a task",
        )),
        false => Ok(Some(suite)),
    }
}

/// Whether every limit has something that can tell whether it is held.
fn can_tell(suite: &Suite, limits: &Limits, accept_uncertain: bool) -> Result<()> {
    let text = limits.divergence.or(limits.perplexity_increase);
    if text.is_some() && !suite.has_texts() {
        let what = "a limit on divergence or perplexity needs a text: one to calibrate on, or one to measure on";
        return Err(Error::usage(what));
    }
    if limits.pool_tasks {
        suite.check_distinct()?;
    }
    if let Some(drop) = limits.accuracy_drop {
        let Some((items, file)) = suite.fewest_items(limits.pool_tasks) else {
            return Err(Error::usage("a limit on accuracy needs a task to be measured on"));
        };
        // What a task of so many items leaves open even if none is lost.
        let least = (0.025f64.ln() / (1.0 - drop / 100.0).ln()).ceil();
        if !accept_uncertain && drop < 100.0 && least > items as f64 {
            let what = format!(
                "{items} items cannot show that the accuracy falls by no more than {drop} points: {least:.0} are needed, \
                 of which none may be lost; or take the figure itself (--accept-uncertain)"
            );
            return Err(Error::input(file, what));
        }
    }
    Ok(())
}

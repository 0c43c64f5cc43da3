//! The certificate of a file, in short.

use crate::failure::Failure;
use crate::output::count;
use serde_json::Value;
use wcodec::Decoder;

/// Lines for people: label and value. Nothing of it was checked.
pub(super) fn lines(decoder: &Decoder) -> Result<Vec<(&'static str, String)>, Failure> {
    let Some(c) = decoder.certificate()? else {
        return Ok(Vec::new());
    };
    let mut lines = vec![(
        "claims",
        format!(
            "{:.3} bits a weight, {:.3} of the quantised tensors; of {}, measured by {}",
            c.bits,
            c.quantised_bits,
            count(c.files.len(), "file"),
            c.writer
        ),
    )];
    if !c.calibration.is_empty() {
        let texts = c
            .calibration
            .iter()
            .map(|t| format!("{} ({})", t.file, count(t.tokens, "token")));
        lines.push(("", format!("calibrated on {}", texts.collect::<Vec<_>>().join(", "))));
    }
    for t in &c.texts {
        let [before, after] = t.perplexity;
        let d = &t.divergence;
        let part = if t.held_out { ", last eighth" } else { "" };
        lines.push((
            "",
            format!(
                "{}{part}: perplexity {before:.3} -> {after:.3}, KL divergence {:.5} (99 % below {:.4}), same top token \
                 {:.1} %, {}",
                t.file,
                d.mean,
                d.p99,
                100.0 * t.same_top,
                count(t.tokens, "token")
            ),
        ));
    }
    for t in &c.tasks {
        let [low, high] = t.accuracy.interval_points;
        lines.push((
            "",
            format!(
                "{}: accuracy {:.2} % -> {:.2} %, {:+.2} points ({low:+.2} to {high:+.2}), {}",
                t.file,
                100.0 * t.accuracy.reference,
                100.0 * t.accuracy.candidate,
                t.accuracy.delta_points,
                count(t.items, "item")
            ),
        ));
    }
    #[cfg(feature = "eval")]
    for check in wcodec::rate_control::claimed_checks(&c) {
        let figure = format!("{}: {} ({})", check.file, crate::encode::figure(&check), check.bound);
        lines.push(("limit", figure));
    }
    if c.options.accept_uncertain {
        let what = "the figures alone had to be within the limits, not their upper bounds (--accept-uncertain)";
        lines.push(("accepted", what.into()));
    }
    lines.push(("to check", c.check_command()));
    Ok(lines)
}

/// For programs: all of it, as it is written.
pub(super) fn json(decoder: &Decoder) -> Result<Value, Failure> {
    // Read first, so that what is no certificate is an error here too.
    let known = decoder.certificate()?;
    let text = decoder.index().certificate_json().filter(|_| known.is_some());
    Ok(text
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default())
}

//! The certificate of a run.

use super::encode::Run;
use super::probe::Probe;
use super::request::Goal;
use super::suite::{Suite, name, sha256};
use crate::Result;
use crate::format::certificate::{CERTIFICATE_VERSION, Calibration, Certificate, Options, check_command};
use std::path::PathBuf;

/// All but what was measured.
pub(super) fn blank(run: &Run) -> Result<Certificate> {
    let mut options = Options {
        effort: run.effort.into(),
        lossless: run.request.lossy.lossless.clone(),
        rates: run.request.lossy.rates.clone(),
        keep_head: run.request.lossy.keep_head,
        ..Options::default()
    };
    match run.request.goal {
        Goal::Bits(bits) => options.bits = Some(bits),
        Goal::Limits {
            limits,
            accept_uncertain,
        } => {
            options.max_kl = limits.divergence;
            options.max_ppl_increase = limits.perplexity_increase;
            options.max_accuracy_drop = limits.accuracy_drop;
            options.pool_tasks = limits.pool_tasks;
            options.accept_uncertain = accept_uncertain;
        }
    }
    let calibration = run.request.calibration.iter().zip(run.statistics);
    let calibration = calibration.flat_map(|(asked, statistics)| {
        let texts = asked.texts.iter().zip(&statistics.texts);
        texts.map(|(text, (sha256, tokens))| Calibration {
            file: name(text),
            sha256: sha256.clone(),
            tokens: *tokens,
            window: statistics.window,
        })
    });
    let digest = |path: &Option<PathBuf>| path.as_deref().map_or(Ok(String::new()), sha256);
    Ok(Certificate {
        version: CERTIFICATE_VERSION,
        writer: concat!("wcodec ", env!("CARGO_PKG_VERSION")).into(),
        files: Vec::new(),
        config: digest(&run.reference.config)?,
        tokenizer: digest(&run.reference.tokenizer)?,
        options,
        calibration: calibration.collect(),
        bytes: 0,
        bits: 0.0,
        quantised_bits: 0.0,
        texts: Vec::new(),
        tasks: Vec::new(),
        command: check_command(["FILE", "REFERENCE"], run.suite.texts(), run.suite.tasks()),
    })
}

/// With what a probe was found to be.
pub(super) fn fill(blank: &Certificate, probe: &Probe) -> Certificate {
    Certificate {
        files: probe.files.clone(),
        bytes: probe.bytes,
        bits: probe.bits,
        quantised_bits: probe.quantised_bits,
        texts: probe.texts.clone(),
        tasks: probe.tasks.clone(),
        ..blank.clone()
    }
}

/// Bytes that it takes at most, with every number at its longest.
pub(super) fn room(blank: &Certificate, suite: &Suite, files: usize) -> usize {
    // Digests and names of fields; 25 digits a number; a quote or backslash in a name is two characters.
    let parts: usize = suite
        .texts()
        .chain(suite.tasks())
        .map(|name| 1200 + 2 * name.len())
        .sum();
    let written = serde_json::to_vec(blank).map_or(0, |json| json.len());
    written + parts + files * 200 + 200
}

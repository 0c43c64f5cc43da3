//! What a certificate claims, measured again.

use super::claims;
use super::request::{Stage, Watch};
use super::suite::{Suite, sha256};
use crate::checkpoint::{self, Lossy, Made};
use crate::error::{Location, Section, display};
use crate::eval::{Load, ModelFiles, Models};
use crate::format::certificate::{Accuracy, Certificate, Task, Text};
use crate::{DecodeOptions, Decoder, Error, Result};
use std::path::{Path, PathBuf};

/// A figure of a certificate, and what it was found to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The text or task; of sizes, nothing.
    pub file: String,
    /// Which figure, with its unit.
    pub figure: &'static str,
    /// What the certificate says.
    pub claimed: f64,
    /// What was measured now.
    pub measured: f64,
    /// How far they may be apart.
    pub tolerance: f64,
}

impl Compared {
    /// Whether the claim holds.
    pub fn agrees(&self) -> bool {
        // What is no number agrees with nothing.
        (self.claimed - self.measured).abs() <= self.tolerance
    }
}

/// What became of a certificate.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The certificate.
    pub certificate: Certificate,
    /// Its figures.
    pub compared: Vec<Compared>,
    /// What was decoded on the way.
    pub verified: checkpoint::Verified,
}

impl Verification {
    /// Whether all claims hold.
    pub fn agrees(&self) -> bool {
        self.compared.iter().all(Compared::agrees)
    }
}

/// Repeats the measurement of a certificate: of a `.wcodec` file or a folder with such files, against the
/// reference that they were made from, on `texts` and `tasks`, which must be all that it was measured on.
///
/// On the machine that measured, the figures are the same. On others matrix products may be rounded in another way: a
/// perplexity may be apart by 1 part in 1,000, a mean divergence by 2 %, its tails by 10 %, the share of equal top tokens by
/// 0.002, and an accuracy by one item or 0.2 points; what is made of these by as much, and intervals by a tenth of their
/// width more. Sizes must be as claimed, the goal held by the figures, and what is said to be kept not quantised.
///
/// # Errors
/// [`Error::Differs`] if the certificate is of another file; [`Error::Input`] if the reference, a text, a task or the
/// tokenizer is another than the certificate's; as [`checkpoint::verify`].
pub fn verify(
    path: &Path,
    reference: &ModelFiles,
    [texts, tasks]: [&[PathBuf]; 2],
    options: DecodeOptions,
    watch: &Watch,
) -> Result<Verification> {
    let certificate = checkpoint::certificate(path, options)?;
    let differs = |what: String| Location::new(Section::Index).file(display(path)).differs(what);
    claims::agree(&certificate).map_err(differs)?;
    check_reference(&certificate, reference)?;
    let suite = Suite::of_claims(&certificate.texts, &certificate.tasks, [texts, tasks])?;
    if certificate.options.pool_tasks {
        suite.check_distinct()?;
    }
    let progress = (watch.progress)(Stage::Encoding);
    // The files are what their digests say, and so what the certificate is of.
    let verified = checkpoint::verify(path, None, options, &*progress)?;
    drop(progress);
    let encoded = checkpoint::encoded_files(path)?;
    let made = Made::of(&encoded)?;
    let size = |figure, claimed, measured, tolerance| Compared {
        file: String::new(),
        figure,
        claimed,
        measured,
        tolerance,
    };
    let mut compared = vec![
        size("bytes", certificate.bytes as f64, made.bytes as f64, 0.0),
        size("bits a weight, files", certificate.bits, made.bits, 1e-9),
        size(
            "bits a weight, quantised tensors",
            certificate.quantised_bits,
            made.quantised_bits,
            1e-9,
        ),
    ];
    if let Some(name) = lossy_in_vain(&certificate, &encoded)? {
        let what = format!("its certificate claims that every bit of {name:?} is kept, and it is quantised");
        return Err(differs(what));
    }
    let candidate = ModelFiles {
        name: display(path),
        weights: encoded,
        config: reference.config.clone(),
        tokenizer: reference.tokenizer.clone(),
    };
    let load = Load {
        decode: options,
        ..Load::default()
    };
    let models = Models::of_files(reference.clone(), candidate, &load)?;
    let (texts, tasks) = suite.measure(&models, watch)?;
    for (claimed, measured) in certificate.texts.iter().zip(&texts) {
        compared.extend(of_text(claimed, measured));
    }
    for (claimed, measured) in certificate.tasks.iter().zip(&tasks) {
        compared.extend(of_task(claimed, measured));
    }
    Ok(Verification {
        certificate,
        compared,
        verified,
    })
}

/// A tensor that is quantised, against the certificate's options.
fn lossy_in_vain(certificate: &Certificate, files: &[PathBuf]) -> Result<Option<String>> {
    let options = &certificate.options;
    let lossy = Lossy {
        lossless: options.lossless.clone(),
        keep_head: options.keep_head,
        ..Lossy::default()
    };
    for file in files {
        let decoder = Decoder::open(file)?;
        let mut quantised = decoder.index().tensors().iter().filter(|t| t.noise().is_some());
        if let Some(tensor) = quantised.find(|t| lossy.keeps(t.name())) {
            return Ok(Some(tensor.name().to_owned()));
        }
    }
    Ok(None)
}

/// Refuses another reference than the certificate's.
fn check_reference(certificate: &Certificate, reference: &ModelFiles) -> Result<()> {
    let mut originals: Vec<&str> = certificate.files.iter().map(|f| &*f.original).collect();
    for path in &reference.weights {
        let own = sha256(path)?;
        let Some(found) = originals.iter().position(|o| *o == own) else {
            let what = format!("it has SHA-256 {own}, and is not what the certified file was made from");
            return Err(Error::input(display(path), what));
        };
        originals.remove(found);
    }
    if let Some(missing) = originals.first() {
        let what = format!("it lacks the file of SHA-256 {missing}, which the certified files were made from");
        return Err(Error::input(&reference.name, what));
    }
    for (name, path, claimed) in [
        ("config.json", &reference.config, &certificate.config),
        ("tokenizer.json", &reference.tokenizer, &certificate.tokenizer),
    ] {
        let path = path.as_ref();
        let path = path.ok_or_else(|| Error::input(&reference.name, format!("no {name} beside it")))?;
        if sha256(path)? != *claimed {
            let what = format!("it is not the {name} of the certificate, of SHA-256 {claimed}");
            return Err(Error::input(display(path), what));
        }
    }
    Ok(())
}

fn of_text(claimed: &Text, measured: &Text) -> Vec<Compared> {
    let (a, b) = (&claimed.divergence, &measured.divergence);
    let part = |of: f64, part: f64| of.abs() * part + 1e-9;
    let ([low, high], [own_low, own_high]) = (claimed.increase_interval, measured.increase_interval);
    // Of two perplexities that may each be apart by a part in a thousand.
    let percent = |width: f64| 0.2 * (1.0 + high.abs() / 100.0) + part(width, 0.1);
    let figures = [
        ("windows", claimed.windows as f64, measured.windows as f64, 0.0),
        ("tokens", claimed.tokens as f64, measured.tokens as f64, 0.0),
        (
            "every logit the same",
            yes(claimed.identical),
            yes(measured.identical),
            0.0,
        ),
        (
            "perplexity of the reference",
            claimed.perplexity[0],
            measured.perplexity[0],
            part(claimed.perplexity[0], 1e-3),
        ),
        (
            "perplexity",
            claimed.perplexity[1],
            measured.perplexity[1],
            part(claimed.perplexity[1], 1e-3),
        ),
        (
            "perplexity, increase in percent",
            claimed.increase_percent,
            measured.increase_percent,
            percent(0.0),
        ),
        ("the least it may be", low, own_low, percent(high - low)),
        ("the most it may be", high, own_high, percent(high - low)),
        ("KL divergence, nats a token", a.mean, b.mean, part(a.mean, 0.02)),
        (
            "KL divergence, standard error",
            a.standard_error,
            b.standard_error,
            part(a.standard_error, 0.1),
        ),
        ("KL divergence, median", a.median, b.median, part(a.median, 0.1)),
        ("KL divergence, 99 %", a.p99, b.p99, part(a.p99, 0.1)),
        ("KL divergence, 99.9 %", a.p999, b.p999, part(a.p999, 0.1)),
        ("KL divergence, largest", a.max, b.max, part(a.max, 0.1)),
        ("same top token, share", claimed.same_top, measured.same_top, 0.002),
    ];
    named(&claimed.file, figures.to_vec())
}

fn of_task(claimed: &Task, measured: &Task) -> Vec<Compared> {
    let items = claimed.items.max(1) as f64;
    let [normalised, own_normalised] = [claimed, measured].map(|t| yes(t.normalised.is_some()));
    let mut figures = vec![
        ("items", claimed.items as f64, measured.items as f64, 0.0),
        (
            "every logit the same",
            yes(claimed.identical),
            yes(measured.identical),
            0.0,
        ),
        (
            "normalised accuracy, whether there is one",
            normalised,
            own_normalised,
            0.0,
        ),
    ];
    let mut accuracy = |names: [&'static str; 7], a: &Accuracy, b: &Accuracy| {
        let grain = (1.0 / items).max(0.002) + 1e-9;
        let ([low, high], [own_low, own_high]) = (a.interval_points, b.interval_points);
        figures.push((names[0], a.reference, b.reference, grain));
        figures.push((names[1], a.candidate, b.candidate, grain));
        figures.push((names[2], a.delta_points, b.delta_points, 200.0 * grain));
        figures.push((names[3], a.gained as f64, b.gained as f64, items * grain));
        figures.push((names[4], a.lost as f64, b.lost as f64, items * grain));
        let points = 200.0 * grain + 0.1 * (high - low);
        figures.push((names[5], low, own_low, points));
        figures.push((names[6], high, own_high, points));
    };
    accuracy(
        [
            "accuracy of the reference",
            "accuracy",
            "accuracy, change in points",
            "items gained",
            "items lost",
            "the least change, in points",
            "the largest change, in points",
        ],
        &claimed.accuracy,
        &measured.accuracy,
    );
    if let Some((a, b)) = claimed.normalised.as_ref().zip(measured.normalised.as_ref()) {
        accuracy(
            [
                "normalised accuracy of the reference",
                "normalised accuracy",
                "normalised accuracy, change in points",
                "normalised, items gained",
                "normalised, items lost",
                "normalised, the least change",
                "normalised, the largest change",
            ],
            a,
            b,
        );
    }
    named(&claimed.file, figures)
}

fn yes(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn named(file: &str, figures: Vec<(&'static str, f64, f64, f64)>) -> Vec<Compared> {
    let one = |(figure, claimed, measured, tolerance)| Compared {
        file: file.to_owned(),
        figure,
        claimed,
        measured,
        tolerance,
    };
    figures.into_iter().map(one).collect()
}

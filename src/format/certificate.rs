//! A certificate: what a file of quantised weights costs in accuracy, and what that was measured on.

#[cfg(test)]
mod tests;

use super::object::{Object, object, objects, some_object};
use crate::error::{Error, Location, Section};
use serde::{Deserialize, Serialize};

/// Version of the certificate's fields.
pub const CERTIFICATE_VERSION: u32 = 1;

/// What the writer of some files measured. The same certificate is in all files of a folder.
///
/// It claims; `wcodec verify --certificate` repeats the measurement. Nobody has signed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Certificate {
    /// [`CERTIFICATE_VERSION`].
    pub version: u32,
    /// The program that measured.
    pub writer: String,
    /// The files that it is of, in the order of their names.
    #[serde(deserialize_with = "objects")]
    pub files: Vec<File>,
    /// SHA-256 of the reference's `config.json`.
    pub config: String,
    /// SHA-256 of the `tokenizer.json` that was used.
    pub tokenizer: String,
    /// What was asked of the encoder.
    #[serde(deserialize_with = "object")]
    pub options: Options,
    /// Texts that the weights were calibrated on, if they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub calibration: Vec<Calibration>,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bits of all files a weight.
    pub bits: f64,
    /// Bits a weight of the quantised tensors.
    pub quantised_bits: f64,
    /// Measured on texts.
    #[serde(deserialize_with = "objects")]
    pub texts: Vec<Text>,
    /// Measured on tasks.
    #[serde(deserialize_with = "objects")]
    pub tasks: Vec<Task>,
    /// The command that repeats the measurement, with FILE and REFERENCE for the two models.
    pub command: String,
}

/// A file that a certificate is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// SHA-256 of the file that was encoded.
    pub original: String,
    /// SHA-256 of what decoding gives: it binds the certificate to the file.
    pub restored: String,
}

/// What was asked of the encoder. Of goals that were not given there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// How hard it tried.
    pub effort: String,
    /// Names of tensors of which every bit is kept.
    pub lossless: Vec<String>,
    /// Whether every bit of embedding and head is kept.
    pub keep_head: bool,
    /// Names of tensors, and the bits a weight that those of a name have.
    pub rates: Vec<(String, f64)>,
    /// Bits a weight of the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<f64>,
    /// Largest mean divergence, in nats a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_kl: Option<f64>,
    /// Most that a perplexity may rise, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ppl_increase: Option<f64>,
    /// Most that the accuracy of a task may fall, in percentage points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_accuracy_drop: Option<f64>,
    /// Whether that is of the items of all tasks together, not of each task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pool_tasks: bool,
    /// Whether a limit holds for the figure itself, not for its upper bound.
    pub accept_uncertain: bool,
}

/// A text that weights were calibrated on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// The file's name.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Tokens that were read.
    pub tokens: usize,
    /// Tokens of a window.
    pub window: usize,
}

/// Two models on a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Text {
    /// The file's name.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whether only its last eighth was read: it was calibrated on what is before.
    pub held_out: bool,
    /// Windows that were read, from the first.
    pub windows: usize,
    /// Tokens of a window.
    pub window: usize,
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Whether all logits are the same, bit by bit.
    pub identical: bool,
    /// Perplexity of the reference and of these files.
    pub perplexity: [f64; 2],
    /// How much larger the second is, in percent.
    pub increase_percent: f64,
    /// 95 % interval of that.
    pub increase_interval: [f64; 2],
    /// Kullback-Leibler divergence of the next-token distributions, in nats a token.
    #[serde(deserialize_with = "object")]
    pub divergence: Divergence,
    /// Share of the tokens where both have the same likeliest token, 0 to 1.
    pub same_top: f64,
}

/// How divergences are distributed over the tokens, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Mean.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
    /// Half the tokens are below.
    pub median: f64,
    /// 99 % of the tokens are below.
    pub p99: f64,
    /// 99.9 % of the tokens are below.
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// Two models on a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The file's name.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Items that were answered, from the first.
    pub items: usize,
    /// Whether all logits are the same, bit by bit.
    pub identical: bool,
    /// By the largest log-likelihood.
    #[serde(deserialize_with = "object")]
    pub accuracy: Accuracy,
    /// By the largest log-likelihood a character, if all items have choices.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_object")]
    pub normalised: Option<Accuracy>,
}

/// How often two models are right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The reference, 0 to 1.
    pub reference: f64,
    /// These files, 0 to 1.
    pub candidate: f64,
    /// Items that these files alone have right.
    pub gained: usize,
    /// Items that the reference alone has right.
    pub lost: usize,
    /// Change, in percentage points.
    pub delta_points: f64,
    /// 95 % interval of that.
    pub interval_points: [f64; 2],
}

impl Certificate {
    /// Reads the JSON of an index.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is no certificate, or a text of it has characters that a terminal would take for
    /// orders; [`Error::Unsupported`] if it is of a later version.
    pub fn parse(json: &str, file: &str) -> Result<Self, Error> {
        let at = || Location::new(Section::Index).file(file);
        let wrong = |what: String| at().corrupt(format!("its certificate: {what}"));
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Object(Version { version }) = serde_json::from_str(json).map_err(|e| wrong(e.to_string()))?;
        if version != CERTIFICATE_VERSION {
            return Err(at().unsupported(format!("a certificate of version {version}")));
        }
        let Object(certificate) = serde_json::from_str::<Object<Self>>(json).map_err(|e| wrong(e.to_string()))?;
        certificate.check().map_err(wrong)?;
        Ok(certificate)
    }

    /// What serde does not see.
    fn check(&self) -> Result<(), String> {
        let texts = self.texts.iter().flat_map(|t| [&t.file, &t.sha256]);
        let tasks = self.tasks.iter().flat_map(|t| [&t.file, &t.sha256]);
        let calibration = self.calibration.iter().flat_map(|c| [&c.file, &c.sha256]);
        let rates = self.options.rates.iter().map(|(pattern, _)| pattern);
        let own = [&self.writer, &self.command, &self.options.effort];
        let all = texts
            .chain(tasks)
            .chain(calibration)
            .chain(own)
            .chain(&self.options.lossless)
            .chain(rates);
        if let Some(text) = all.clone().find(|text| text.chars().any(orders)) {
            return Err(format!("the text {text:?} has control characters"));
        }
        let files = self.files.iter().flat_map(|f| [&f.original, &f.restored]);
        let mut digests = files
            .chain([&self.config, &self.tokenizer])
            .chain(self.texts.iter().map(|t| &t.sha256))
            .chain(self.tasks.iter().map(|t| &t.sha256))
            .chain(self.calibration.iter().map(|c| &c.sha256));
        let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if let Some(digest) = digests.find(|d| d.len() != 64 || !d.bytes().all(digit)) {
            return Err(format!("{digest:?} is no SHA-256"));
        }
        let parts = self
            .texts
            .iter()
            .map(Text::check)
            .chain(self.tasks.iter().map(Task::check));
        let wrong = parts.into_iter().find(|check| check.is_err());
        match (self.files.is_empty(), self.texts.is_empty() && self.tasks.is_empty()) {
            (true, _) => Err("it is of no file".into()),
            (_, true) => Err("nothing was measured".into()),
            _ if self.bits.min(self.quantised_bits) < 0.0 => Err("bits are below 0".into()),
            _ => wrong.unwrap_or(Ok(())),
        }
    }

    /// The command that repeats the measurement, with FILE and REFERENCE for the two models: made of the names of texts
    /// and tasks, not taken from what the file says.
    pub fn check_command(&self) -> String {
        let texts = self.texts.iter().map(|t| &*t.file);
        check_command(["FILE", "REFERENCE"], texts, self.tasks.iter().map(|t| &*t.file))
    }
}

impl Text {
    fn check(&self) -> Result<(), String> {
        let d = &self.divergence;
        let most = (self.windows as u128) * self.window as u128;
        let shares = (0.0..=1.0).contains(&self.same_top);
        let sizes = [d.mean, d.standard_error, d.median, d.p99, d.p999, d.max];
        let [low, high] = self.increase_interval;
        let good = self.window >= 2
            && (1..=self.tokens).contains(&self.windows)
            && self.tokens as u128 <= most
            && self.perplexity.iter().all(|p| *p > 0.0)
            && shares
            && sizes.iter().all(|&size| size >= 0.0)
            && low <= high;
        good.then_some(())
            .ok_or_else(|| format!("its figures of the text {:?} cannot be", self.file))
    }
}

impl Task {
    fn check(&self) -> Result<(), String> {
        let possible = |a: &Accuracy| {
            let [low, high] = a.interval_points;
            let share = |s: f64| (0.0..=1.0).contains(&s);
            share(a.reference)
                && share(a.candidate)
                && a.gained.checked_add(a.lost).is_some_and(|n| n <= self.items)
                && low <= high
        };
        let good = self.items > 0 && possible(&self.accuracy) && self.normalised.as_ref().is_none_or(possible);
        good.then_some(())
            .ok_or_else(|| format!("its figures of the task {:?} cannot be", self.file))
    }
}

/// The command that repeats the measurement of a model against its reference on these files, for a shell.
pub fn check_command<'a>(
    [file, reference]: [&str; 2],
    texts: impl Iterator<Item = &'a str>,
    tasks: impl Iterator<Item = &'a str>,
) -> String {
    let quoted = |file: &str| match file.chars().all(|c| c.is_alphanumeric() || "._-/:@".contains(c)) {
        true => file.to_owned(),
        false => format!("'{}'", file.replace('\'', r"'\''")),
    };
    let texts = texts.map(|file| format!(" --text {}", quoted(file)));
    let flags: String = texts
        .chain(tasks.map(|file| format!(" --task {}", quoted(file))))
        .collect();
    let [file, reference] = [file, reference].map(quoted);
    format!("wcodec verify {file} --certificate --against {reference}{flags}")
}

/// A figure as certificates have it: with twelve digits. More would be noise, and a number of so few is read as it was
/// written by any reader of JSON.
#[cfg(feature = "eval")]
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// Whether a terminal may take a character for an order: control characters, and those that turn the direction of
/// writing.
fn orders(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

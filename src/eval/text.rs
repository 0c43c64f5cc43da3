//! Perplexity, and what a text shows of the distance between two models.

use super::At;
use super::kept::{Kept, Times};
use super::models::{Models, with_candidate};
use super::score::{CANDIDATE, REFERENCE, States, batches, pairs};
use super::stats::{Decades, Distribution, Estimate, Z95};
use super::tokens::TextEncoder;
use super::windows::{Window, windows};
use super::wire::Taken;
use crate::model::{ModelConfig, Tree};
use crate::{Error, Progress, Result};
use blake3::Hasher;
use serde::Serialize;
use serde_json::json;

/// How a text is cut.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TextOptions {
    /// Tokens of a window, a beginning-of-text token included. Default 512.
    pub window: usize,
    /// Tokens from one window's start to the next, up to a window's. Default: windows side by side.
    pub stride: Option<usize>,
    /// Windows to look at, from the beginning. Default: all.
    pub windows: Option<usize>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self {
            window: 512,
            stride: None,
            windows: None,
        }
    }
}

/// How well a model predicts a text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Perplexity {
    /// Exponential of minus the mean log-probability of a token.
    pub perplexity: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Natural logarithm of the tokens' probabilities, in nats.
    pub log_prob: Estimate,
}

impl Perplexity {
    fn of(log_probs: &[f64], clusters: &[usize]) -> Self {
        let log_prob = Estimate::clustered(log_probs, clusters);
        let perplexity = (-log_prob.mean).exp();
        Self {
            perplexity,
            standard_error: perplexity * log_prob.standard_error,
            log_prob,
        }
    }
}

/// Two models on a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextReport {
    /// The text's file.
    pub file: String,
    /// Windows.
    pub windows: usize,
    /// Tokens of a window.
    pub window: usize,
    /// Tokens between the starts of two windows.
    pub stride: usize,
    /// The token that every window begins with.
    pub bos: Option<u32>,
    /// How many windows, or texts if there are four at least and none is more than half of all, the standard errors take as
    /// independent of each other.
    /// Those of the tokens in one depend on each other.
    pub clusters: usize,
    /// Tokens that were predicted.
    pub tokens: usize,
    /// Whether all logits that were looked at are the same, bit by bit.
    pub identical: bool,
    /// The reference.
    pub reference: Perplexity,
    /// The candidate.
    pub candidate: Perplexity,
    /// The candidate's log-probability of a token less the reference's, in nats.
    pub log_prob_change: Estimate,
    /// How much larger the candidate's perplexity is, in percent.
    pub increase_percent: f64,
    /// 95 % interval of that, in percent.
    pub increase_interval: [f64; 2],
    /// Kullback-Leibler divergence of the candidate's next-token distribution from the reference's,
    /// in nats a token.
    pub divergence: Distribution,
    /// How many tokens have a divergence of which size.
    pub divergence_histogram: Decades,
    /// Share of the tokens where both models have the same likeliest token, 0 to 1.
    pub same_top: Estimate,
    /// How long it took. Left out of the serialised report.
    #[serde(skip)]
    pub times: Times,
}

struct Scored {
    reference: f64,
    candidate: f64,
    divergence: f64,
    same_top: bool,
    identical: bool,
}

impl Scored {
    fn write(&self, out: &mut Vec<u8>) {
        let numbers = [self.reference, self.candidate, self.divergence];
        out.extend(numbers.into_iter().flat_map(f64::to_le_bytes));
        out.push(u8::from(self.same_top) | u8::from(self.identical) << 1);
    }

    fn read(taken: &mut Taken) -> Result<Self> {
        let (reference, candidate, divergence) = (taken.f64()?, taken.f64()?, taken.f64()?);
        let flags = taken.u8()?;
        Ok(Self {
            reference,
            candidate,
            divergence,
            same_top: flags & 1 != 0,
            identical: flags & 2 != 0,
        })
    }
}

/// Runs both models over texts, as [`read_text`](super::read_text) gives them: each begins anew, in
/// windows of its own. Progress is in tokens.
///
/// # Errors
/// [`Error::Input`] if a window is longer than the model's positions, a stride than the window, or nothing can be
/// scored;
/// [`Error::Cancelled`]; those of the tokenizer and the models.
pub fn measure_text(
    models: &Models,
    texts: &[(At, String)],
    options: &TextOptions,
    progress: &dyn Progress,
) -> Result<TextReport> {
    let file = texts.first().map(|(at, _)| at.file.clone()).unwrap_or_default();
    let cut = models.setting.cut(texts, options)?;
    let bos = models.encoder().bos();
    let extra = bos.iter().len();
    let all: Vec<(&Vec<u32>, Window)> = cut.windows.iter().map(|&(text, w)| (&cut.tokens[text], w)).collect();

    let size = |w: &Window| w.end - w.start + extra;
    let key = json!({
        "text": digest(texts),
        "window": cut.window,
        "stride": cut.stride,
        "windows": all.len(),
    });
    let batches = batches(&all, |(_, w)| size(w));
    let saved = Kept::new(models.reference.saved.as_deref(), &key, batches.len())?;
    let kept = Kept::new(models.kept.as_deref(), &with_candidate(key, models), batches.len())?;
    progress.start(all.iter().map(|(_, w)| size(w) as u64).sum());
    let mut scored: Vec<Scored> = Vec::new();
    let mut times = Times::default();
    for (number, windows) in (0..).zip(batches) {
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
        let batch = WindowBatch::new(windows, bos, &file);
        let mut theirs = Vec::new();
        if saved.wants(number) || !kept.has(number) {
            theirs = saved.get_or(number, &mut times.reference, |out| {
                let model = models.reference.whole()?;
                States::new(model, &batch.trees, &batch.wanted, REFERENCE)?.write(out)
            })?;
        }
        let found = kept.get_or(number, &mut times.candidate, |out| {
            let theirs = States::read(models.reference.head()?, &theirs, batch.wanted.len(), REFERENCE)?;
            let ours = States::new(&models.candidate, &batch.trees, &batch.wanted, CANDIDATE)?;
            batch.score(&theirs, &ours)?.iter().for_each(|s| s.write(out));
            Ok(())
        })?;
        let mut found = Taken(&found);
        for _ in &batch.targets {
            scored.push(Scored::read(&mut found)?);
        }
        found.end()?;
        progress.advance(windows.iter().map(|(_, w)| size(w) as u64).sum(), &file);
    }
    let mut report = report(&scored, &cut.clusters());
    report.file = file;
    report.windows = all.len();
    (report.window, report.stride, report.bos) = (cut.window, cut.stride, bos);
    report.times = times;
    Ok(report)
}

/// Texts in windows.
pub(super) struct Cut {
    /// Of each text that has a window.
    tokens: Vec<Vec<u32>>,
    /// The number of a text, and a window of it.
    windows: Vec<(usize, Window)>,
    /// Tokens of a window, a beginning-of-text token included.
    window: usize,
    stride: usize,
}

impl Cut {
    pub(super) fn new(
        texts: &[(At, String)],
        encoder: &TextEncoder,
        config: &ModelConfig,
        options: &TextOptions,
    ) -> Result<Self> {
        let file = texts.first().map_or("", |(at, _)| &at.file);
        let (most, bos) = (config.max_positions(), encoder.bos());
        if options.window > most {
            let what = format!(
                "a window of {} tokens: the model has {most} positions, so that is the longest --window",
                options.window
            );
            return Err(Error::input(file, what));
        }
        if options.window < 2 {
            let what = "no token can be scored in a window of fewer than 2 tokens: give a longer --window";
            return Err(Error::input(file, what));
        }
        if let Some(stride) = options.stride.filter(|s| !(1..=options.window).contains(s)) {
            let what = format!(
                "a stride of {stride} tokens: it is from 1 to the window's length, {} (--stride)",
                options.window
            );
            return Err(Error::input(file, what));
        }
        let length = options.window.saturating_sub(bos.iter().len());
        let stride = options.stride.unwrap_or(length).clamp(1, length.max(1));
        let most = options.windows.unwrap_or(usize::MAX);
        let (mut tokens, mut all) = (Vec::new(), Vec::new());
        for (i, (at, text)) in texts.iter().enumerate() {
            if all.len() >= most {
                break;
            }
            let enough = (most - all.len()).saturating_mul(length);
            let (text, _) = encoder.encode_start(text, at, enough)?;
            let of_text = windows(text.len(), length, stride, bos.is_some()).into_iter();
            all.extend(of_text.map(|w| (i, w)).take(most - all.len()));
            tokens.push(text);
        }
        if all.is_empty() {
            return Err(Error::input(file, "the text is too short: no token can be scored"));
        }
        Ok(Self {
            tokens,
            windows: all,
            window: length + bos.iter().len(),
            stride,
        })
    }

    /// Scored tokens of each text, if there are four at least and none is more than half of all: of fewer, or of one and
    /// what is left, the spread says nothing. Else of each window.
    fn clusters(&self) -> Vec<usize> {
        let scored = |windows: &[(usize, Window)]| windows.iter().map(|(_, w)| w.end - w.scored).sum::<usize>();
        let texts: Vec<usize> = self.windows.chunk_by(|a, b| a.0 == b.0).map(scored).collect();
        let most = texts.iter().max().copied().unwrap_or(0);
        match texts.len() >= 4 && most <= scored(&self.windows) / 2 {
            true => texts,
            false => self.windows.chunks(1).map(scored).collect(),
        }
    }
}

/// Of texts, in order.
pub(super) fn digest(texts: &[(At, String)]) -> String {
    let mut hasher = Hasher::new();
    for (_, text) in texts {
        hasher
            .update(&(text.len() as u64).to_le_bytes())
            .update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Windows that are computed together.
struct WindowBatch<'a> {
    file: &'a str,
    trees: Vec<Tree>,
    /// Rows that predict a token, and those tokens.
    wanted: Vec<u32>,
    targets: Vec<u32>,
    /// The first window's first token.
    start: usize,
}

impl<'a> WindowBatch<'a> {
    fn new(windows: &[(&Vec<u32>, Window)], bos: Option<u32>, file: &'a str) -> Self {
        let mut batch = Self {
            file,
            trees: Vec::new(),
            wanted: Vec::new(),
            targets: Vec::new(),
            start: windows.first().map_or(0, |(_, w)| w.start),
        };
        let mut base = 0;
        for (text, w) in windows {
            let window: Vec<u32> = bos.iter().chain(&text[w.start..w.end]).copied().collect();
            let first = base + bos.iter().len();
            // A token is predicted in the row before its own.
            batch
                .wanted
                .extend((w.scored..w.end).map(|token| (first + token - w.start - 1) as u32));
            batch.targets.extend_from_slice(&text[w.scored..w.end]);
            base += window.len();
            batch.trees.push(Tree::sequence(window));
        }
        batch
    }

    fn score(&self, theirs: &States, ours: &States) -> Result<Vec<Scored>> {
        let at = |row: usize| format!("{}: {row} tokens behind token {}", self.file, self.start);
        pairs([theirs, ours], at, |i, reference, candidate| {
            let identical = reference.identical(candidate);
            Scored {
                reference: reference.log_prob(self.targets[i]),
                candidate: candidate.log_prob(self.targets[i]),
                divergence: if identical {
                    0.0
                } else {
                    reference.divergence(candidate)
                },
                same_top: reference.top == candidate.top,
                identical,
            }
        })
    }
}

fn report(scored: &[Scored], clusters: &[usize]) -> TextReport {
    let column = |value: fn(&Scored) -> f64| scored.iter().map(value).collect::<Vec<f64>>();
    let change = Estimate::clustered(&column(|s| s.candidate - s.reference), clusters);
    // 0 added makes 0 of -0.
    let increase = |log: f64| 100.0 * log.exp_m1() + 0.0;
    let error = Z95 * change.standard_error;
    TextReport {
        file: String::new(),
        windows: 0,
        window: 0,
        stride: 0,
        bos: None,
        clusters: clusters.len(),
        tokens: scored.len(),
        identical: scored.iter().all(|s| s.identical),
        reference: Perplexity::of(&column(|s| s.reference), clusters),
        candidate: Perplexity::of(&column(|s| s.candidate), clusters),
        log_prob_change: change,
        increase_percent: increase(-change.mean),
        increase_interval: [increase(-change.mean - error), increase(-change.mean + error)],
        divergence: Distribution::of(&column(|s| s.divergence), clusters),
        divergence_histogram: Decades::of(scored.iter().map(|s| s.divergence)),
        same_top: Estimate::clustered(&column(|s| f64::from(u8::from(s.same_top))), clusters),
        times: Times::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::ModelFiles;
    use super::super::models::Load;
    use super::super::setting::Setting;
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn texts_are_tokenised_once_and_no_more_than_needed() {
        let kjv = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv");
        let files = ModelFiles::find(&kjv).unwrap();
        let setting = Setting::of(&files, &files, &Load::default()).unwrap();
        let at = At {
            file: "text".into(),
            line: 1,
        };
        let texts = [
            "And God said, Let there be light. ",
            "And God saw it.",
            "And it was so.",
        ];
        let texts = texts.map(|text| (at.clone(), text.repeat(20)));
        let mut options = TextOptions {
            window: 32,
            ..TextOptions::default()
        };
        let whole = setting.cut(&texts, &options).unwrap();
        assert!(Arc::ptr_eq(&whole, &setting.cut(&texts, &options).unwrap()));
        options.windows = Some(2);
        let first = setting.cut(&texts, &options).unwrap();
        assert_eq!((whole.tokens.len(), first.tokens.len(), first.windows.len()), (3, 1, 2));
        assert_eq!(
            (&first.tokens[0], &first.windows[..]),
            (&whole.tokens[0], &whole.windows[..2])
        );
        assert!(!Arc::ptr_eq(&first, &setting.cut(&texts[1..], &options).unwrap()));
    }
}

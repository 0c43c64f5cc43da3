//! `wcodec encode`.

#[cfg(feature = "eval")]
mod goal;
#[cfg(feature = "eval")]
mod outcome;

use crate::failure::Failure;
use crate::input::{self, Input};
use crate::output::{self, count};
use crate::progress::Display;
use crate::quantised::Quantised;
use crate::{Global, decode};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use wcodec::checkpoint::{self, Lossy};

#[cfg(feature = "eval")]
pub(crate) use goal::progress;
#[cfg(feature = "eval")]
pub(crate) use outcome::figure;

/// Encode a safetensors file, or a folder with all its files
#[derive(Args)]
#[command(long_about = "\
Encode a safetensors file, or a folder with all its files.

Every byte is kept, unless a goal is given: `wcodec decode` gives the original file back, header and all. In a folder every \
NAME.safetensors becomes NAME.wcodec, the index of shards follows, and all other files (config, \
tokenizer) are copied. The same input and effort give the same file on any machine.

Of a file OUT is a file's name, of a folder a folder's. With --force files of the same names are \
replaced. If OUT has other .wcodec files, nothing is written: they would be taken for the model's. So \
it is with a NAME.wcodec beside NAME.safetensors in IN.

With a goal the large matrices of floats (of 16384 weights and 32 columns at least; with --calibrate all of the model's linear \
layers) are quantised; everything that loads a lossless file loads the result. One goal is \
taken: a size (--bits), a named quality (--quality), or limits on what it may cost (--max-kl, \
--max-ppl-increase, --max-accuracy-drop: all that are given must hold). Without --calibrate all weights get the same \
relative error, for no more than they themselves is known: expect a far larger loss at the same bits. With \
--calibrate the model reads texts first, and its linear layers, embedding and head get steps by \
what they do to its predictions. A text of one kind teaches one kind: name several (--calibrate A --calibrate B), each of \
which gives as many windows of tokens; what a short one lacks, the longer ones give. Calibrating and measuring need config.json and tokenizer.json beside the weights.

For limits and qualities the smallest file that holds them is searched for: up to 8 are made, decoded and measured \
as `wcodec eval` does, on --text and --task, which must be other than what is calibrated on. The search ends when \
the next file would be smaller by less than 1 %; the smallest that was made and holds is the output. What was found before \
(--statistics, or by a run that was killed) saves time and changes no byte. Where a limit needs a \
text and none is named, the last eighth of each of the calibration's is held out: it is measured on and never calibrated on. A limit \
is held if the upper bound of the figure is within it; of an accuracy the bound is exact for few items, and the accuracy \
normalised by length, where a task has one, must hold the limit too. Of several texts or tasks each must hold it, or, with \
--pool-tasks, the items of all tasks together. --accept-uncertain takes the figure for its bound, and the \
certificate says so. A text needs four windows of tokens, 2048 or four times the model's positions, and less than a tenth of \
it among what is calibrated on. If no file holds, none is written, and the exit status is 1. Whatever was measured stands in \
the file, as a certificate that `wcodec verify --certificate` checks.

Of single tensors more can be said: --lossless keeps them exactly, --keep-head embedding and head; --rate \
gives those of a name bits of their own, a weight and without the file's index, at one slope among themselves.

Qualities, by the largest mean KL divergence in nats a token: near 0.003, high 0.01, medium 0.03, small 0.1.

The expected loss that is printed is an estimate from the calibration's texts, tensor by tensor: it says what costs most, and is not \
the KL divergence that --text measures, which may be twice or half of it.

The output appears under its name only when it is complete. A run that was killed goes on where it was with the same command: what \
it found lies in OUT.search and OUT.calibration until then, or in --statistics, which is one model's, number of tokens' \
and one set of texts'. Progress of calibrating counts every token once a layer and pass; of encoding the bytes of every pass over the weights.

In --json `bytes` are the original's and `encoded_bytes` the files', also of each of `probes`; `best` is the place in \
`probes`, from 0, of what was written, or came nearest.")]
#[command(after_help = "\
Examples:
  wcodec encode model.safetensors                     write model.wcodec
  wcodec encode model.safetensors -o /data/m.wcodec --effort max
  wcodec encode Llama-3.1-8B -o Llama-3.1-8B-small    a folder of shards
  wcodec encode SmolLM2 -o small --max-kl 0.02 --calibrate wiki.valid.raw --text wiki.test.raw
  wcodec encode SmolLM2 -o small --quality high --calibrate wiki.valid.raw --calibrate stories.jsonl
  wcodec encode SmolLM2 -o small --max-accuracy-drop 2 --task hellaswag.jsonl --limit 1000
  wcodec encode SmolLM2 -o small --bits 5 --calibrate wiki.valid.raw
  wcodec encode SmolLM2 -o small --bits 4.5 --keep-head --rate '*.down_proj.weight=4' --calibrate wiki.valid.raw
  wcodec encode model.safetensors --bits 6            quantised, not calibrated
  wcodec encode model.safetensors --json --quiet      for scripts")]
pub(crate) struct Encode {
    /// Safetensors file, or folder with such files; or hf://ORG/MODEL[@REVISION][/FILE]
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File or folder to write [default: IN with .wcodec]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// How hard to try
    #[arg(long, value_enum, default_value_t)]
    effort: Effort,
    /// Quantise the weights, to so many bits a weight of the whole file
    #[arg(long, value_name = "BITS", value_parser = bits, allow_negative_numbers = true)]
    bits: Option<f64>,
    /// Keep every bit of the tensors of this name, * for any characters
    #[arg(long, value_name = "PATTERN")]
    #[cfg_attr(feature = "eval", arg(requires = "goal"))]
    #[cfg_attr(not(feature = "eval"), arg(requires = "bits"))]
    lossless: Vec<String>,
    /// Give the tensors of this name so many bits a weight together; the others share what is left of --bits
    #[arg(long, value_name = "PATTERN=BITS", requires = "bits", value_parser = rate)]
    rate: Vec<(String, f64)>,
    /// Keep every bit of embedding and head
    #[arg(long)]
    #[cfg_attr(feature = "eval", arg(requires = "goal"))]
    #[cfg_attr(not(feature = "eval"), arg(requires = "bits"))]
    keep_head: bool,
    #[cfg(feature = "eval")]
    #[command(flatten)]
    goal: goal::GoalArguments,
    /// Replace an output that exists (of a folder, files of the same names)
    #[arg(long, short)]
    force: bool,
}

/// The efforts, with help for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Effort {
    /// One frequency table a tensor, no prediction: the fastest to encode and decode
    Fast,
    /// Scale prediction by row and column; other tools where a sample shows that they win
    #[default]
    Default,
    /// Every tool and parameter, counted on all of the data: slow to encode, decodes as default or slower
    Max,
}

impl From<Effort> for wcodec::Effort {
    fn from(effort: Effort) -> Self {
        match effort {
            Effort::Fast => Self::Fast,
            Effort::Default => Self::Default,
            Effort::Max => Self::Max,
        }
    }
}

fn bits(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(bits) if (0.1..=16.0).contains(&bits) => Ok(bits),
        _ => Err("a number from 0.1 to 16 is needed".into()),
    }
}

fn rate(text: &str) -> Result<(String, f64), String> {
    let (pattern, value) = text
        .rsplit_once('=')
        .ok_or("PATTERN=BITS is needed, as in '*.down_proj.weight=5'")?;
    Ok((pattern.to_owned(), bits(value)?))
}

impl Encode {
    /// What may be lost.
    fn lossy(&self) -> Lossy {
        let mut lossy = Lossy::bits(self.bits.unwrap_or_default());
        lossy.lossless = self.lossless.clone();
        lossy.rates = self.rate.clone();
        lossy.keep_head = self.keep_head;
        lossy
    }

    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let local = input::local(&self.input, "wcodec", global)?;
        let Input { path: input, name, .. } = &local;
        let to = self.output.clone().unwrap_or_else(|| match input.is_dir() {
            // A folder's name may have dots of its own: Llama-3.2-1B.
            true => decode::append(name, ".wcodec"),
            false => name.with_extension("wcodec"),
        });
        decode::refuse_existing(&to, input.is_dir(), self.force)?;
        let effort = wcodec::Effort::from(self.effort);
        let options = global.encode_options().effort(effort);
        let begun = Instant::now();
        let wanted = |file: &std::ffi::OsStr| local.has(file);
        #[cfg(feature = "eval")]
        let (reports, warnings, searched) = match self.goal.goal(self.bits) {
            None => {
                let progress = Display::new("encoding", global);
                let reports = checkpoint::encode_only(input, &to, &options, &progress, &wanted)?;
                (reports, progress.warnings(), None)
            }
            Some(goal) => {
                let searched =
                    self.goal
                        .encode(goal, self.lossy(), [&self.input, input, &to], &options, global, &wanted)?;
                (searched.reports()?, searched.warnings(), Some(searched))
            }
        };
        #[cfg(not(feature = "eval"))]
        let (reports, warnings) = {
            let progress = Display::new("encoding", global);
            let reports = match self.bits {
                None => checkpoint::encode_only(input, &to, &options, &progress, &wanted)?,
                Some(_) => checkpoint::encode_lossy_only(input, &to, &options, &self.lossy(), &progress, &wanted)?,
            };
            (reports, progress.warnings())
        };
        let time = begun.elapsed();
        let bytes: u64 = reports.iter().map(|r| r.bytes).sum();
        let encoded: u64 = reports.iter().map(|r| r.encoded).sum();
        let tensors = reports.iter().map(|r| r.tensors.len()).sum();
        let saved = output::saved(bytes, encoded);
        let lossy = reports.iter().flat_map(|r| &r.tensors).any(|t| t.noise.is_some());
        let quantised = match lossy {
            true => Quantised::of_output(&to)?,
            false => Quantised::default(),
        };
        if global.json {
            let mut value = json!({
                "command": "encode",
                "input": self.input.to_string_lossy(),
                "output": to.to_string_lossy(),
                "effort": effort.name(),
                "files": reports.len(),
                "tensors": tensors,
                "bytes": bytes,
                "encoded_bytes": encoded,
                "saved_percent": saved,
                "seconds": time.as_secs_f64(),
                "warnings": warnings,
            });
            if quantised.is_some() {
                quantised.add_to(&mut value);
            }
            #[cfg(feature = "eval")]
            if let Some(searched) = &searched {
                searched.add_to(&mut value);
            }
            return output::print_json(&value);
        }
        let files = if reports.len() > 1 {
            format!("{}, ", count(reports.len(), "file"))
        } else {
            String::new()
        };
        output::print(&format!(
            "{}: {} -> {}, {saved:.1}% saved ({files}{} in {}, {})\n",
            to.display(),
            output::bytes(bytes),
            output::bytes(encoded),
            count(tensors, "tensor"),
            output::duration(time),
            output::rate(bytes, time.as_secs_f64()),
        ))?;
        if quantised.is_some() {
            output::print(&format!("  {}\n", quantised.text()))?;
        }
        #[cfg(feature = "eval")]
        if let Some(searched) = &searched {
            output::print(&searched.text())?;
        }
        Ok(())
    }
}

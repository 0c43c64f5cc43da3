//! `wcodec publish`.

use crate::encode::Effort;
use crate::failure::Failure;
use crate::output::{self, count};
use crate::progress::Display;
use crate::{Global, decode, input};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use wcodec::{EncodeOptions, checkpoint};

/// Where a repository's name belongs.
const PLACEHOLDER: &str = "ORG/MODEL";

/// Prepare a model's folder for upload to the Hugging Face Hub
#[derive(Args)]
#[command(long_about = "\
Prepare a model's folder for upload to the Hugging Face Hub.

Encodes the folder as `wcodec encode` does: shards, their index, config, tokenizer. The model card \
(README.md) gets a section with the files' sizes and digests and how to load them. Nothing is uploaded: \
the command for that is printed.")]
#[command(after_help = "\
Examples:
  wcodec publish Llama-3.2-1B --repo me/Llama-3.2-1B-wcodec
  hf upload me/Llama-3.2-1B-wcodec Llama-3.2-1B.wcodec
  wcodec publish hf://org/Llama-3.2-1B --repo me/Llama-3.2-1B-wcodec    downloaded first")]
pub(crate) struct Publish {
    /// Folder with safetensors files, config and tokenizer; or hf://ORG/MODEL[@REVISION]
    #[arg(value_name = "DIR")]
    input: PathBuf,
    /// Folder to write [default: DIR with .wcodec]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The repository that it is for
    #[arg(long, value_name = "ORG/MODEL", value_parser = parse_repo)]
    repo: Option<String>,
    /// How hard to try
    #[arg(long, value_enum, default_value_t)]
    effort: Effort,
    /// Replace files that exist
    #[arg(long, short)]
    force: bool,
}

impl Publish {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        if input::is_remote_file(&self.input) {
            let what = "a whole model is published: name its repository";
            return Err(Failure::usage(format!("{}: {what}", self.input.display())));
        }
        let local = input::local(&self.input, "wcodec", global)?;
        let to = self.output.clone();
        let to = to.unwrap_or_else(|| decode::append(&local.name, ".wcodec"));
        decode::refuse_existing(&to, true, self.force)?;
        let options = EncodeOptions::lossless().effort(self.effort.into());
        let repo = self.repo.as_deref().unwrap_or(PLACEHOLDER);
        let reports = {
            let progress = Display::new("encoding", global);
            checkpoint::publish(&local.path, &to, repo, &options, &progress, &|file| local.has(file))?
        };
        let bytes: u64 = reports.iter().map(|r| r.bytes).sum();
        let encoded: u64 = reports.iter().map(|r| r.encoded).sum();
        let saved = output::saved(bytes, encoded);
        let upload = format!("hf upload {repo} {}", to.display());
        if global.json {
            return output::print_json(&json!({
                "command": "publish",
                "input": self.input.to_string_lossy(),
                "output": to.to_string_lossy(),
                "repo": self.repo,
                "files": reports.len(),
                "bytes": bytes,
                "encoded_bytes": encoded,
                "saved_percent": saved,
                "upload": upload,
            }));
        }
        let next = match self.repo {
            Some(_) => format!("nothing is uploaded yet: {upload}"),
            None => format!(
                "nothing is uploaded yet, and no --repo was given: the card (README.md) says {PLACEHOLDER} where the \
                 repository's name belongs. Run it again with --repo and --force, then: {upload}"
            ),
        };
        output::print(&format!(
            "{}: {}, {} -> {}, {saved:.1}% saved\n{next}\n",
            to.display(),
            count(reports.len(), "file"),
            output::bytes(bytes),
            output::bytes(encoded),
        ))
    }
}

fn parse_repo(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !part.is_empty() && part.len() <= 96 && part.chars().all(fits)
    };
    match text.split_once('/') {
        Some((organisation, name)) if part(organisation) && part(name) => Ok(text.into()),
        _ => Err("write ORG/MODEL, of letters, digits, and any of -_.".into()),
    }
}

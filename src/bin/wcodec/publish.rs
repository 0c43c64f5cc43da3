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
  hf upload me/Llama-3.2-1B-wcodec Llama-3.2-1B.wcodec")]
pub(crate) struct Publish {
    /// Folder with safetensors files, config and tokenizer
    #[arg(value_name = "DIR")]
    input: PathBuf,
    /// Folder to write [default: DIR with .wcodec]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// The repository that it is for
    #[arg(long, value_name = "ORG/MODEL", default_value = "ORG/MODEL")]
    repo: String,
    /// How hard to try
    #[arg(long, value_enum, default_value_t)]
    effort: Effort,
    /// Replace files that exist
    #[arg(long, short)]
    force: bool,
}

impl Publish {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let to = self.output.clone();
        let to = to.unwrap_or_else(|| decode::append(&input::named(&self.input), ".wcodec"));
        decode::refuse_existing(&to, true, self.force)?;
        let options = EncodeOptions::lossless().effort(self.effort.into());
        let reports = {
            let progress = Display::new("encoding", global);
            checkpoint::publish(&self.input, &to, &self.repo, &options, &progress)?
        };
        let bytes: u64 = reports.iter().map(|r| r.bytes).sum();
        let encoded: u64 = reports.iter().map(|r| r.encoded).sum();
        let saved = output::saved(bytes, encoded);
        let upload = format!("hf upload {} {}", self.repo, to.display());
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
        if global.quiet {
            return Ok(());
        }
        output::print(&format!(
            "{}: {}, {} -> {}, {saved:.1}% saved\nready: {upload}\n",
            to.display(),
            count(reports.len(), "file"),
            output::bytes(bytes),
            output::bytes(encoded),
        ))
    }
}

//! `wcodec verify`.

#[cfg(feature = "eval")]
mod certificate;

use crate::Global;
use crate::failure::Failure;
use crate::input;
use crate::output::{self, count};
use crate::progress::Display;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;
use wcodec::checkpoint;

/// Decode everything and check that it is what was encoded
#[derive(Args)]
#[command(long_about = "\
Decode everything and check that it is what was encoded.

Every tensor is decoded and held against the BLAKE3 digest that the file keeps, and the whole \
against the original's SHA-256. A file of quantised weights restores \
another file than the original, and is held against that one's. With --against every byte is also compared with the original; of a \
folder, every file of the original must be there, encoded or as a copy. (README.md and .gitattributes \
may have more, which `wcodec publish` adds.)

With --certificate the file is measured again, on the texts and tasks that its certificate names, against the \
reference that it was made from; --against is that reference, with config.json and tokenizer.json beside it. \
Everything is held against its digest first: another reference, text, task or file than the certificate's is refused. \
On the machine that wrote it the figures are the same; elsewhere matrix products may be rounded in another way, and a figure \
agrees if it is near: perplexity 0.1 %, mean KL divergence 2 % and its tails 10 %, equal top tokens 0.2 points, accuracy \
one item or 0.2 points.

Exit status 0: all is well. 1: something differs or is corrupt; the message says where.")]
#[command(after_help = "\
Examples:
  wcodec verify model.wcodec
  wcodec verify model.wcodec --against model.safetensors
  wcodec verify Llama-3.1-8B.wcodec --against Llama-3.1-8B    whole folders
  wcodec verify small --certificate --against SmolLM2 --text wiki.test.raw
  wcodec verify hf://me/Llama-3.1-8B-wcodec --against hf://meta-llama/Llama-3.1-8B")]
pub(crate) struct Verify {
    /// .wcodec file, or folder with such files; or hf://ORG/MODEL[@REVISION][/FILE]
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The original safetensors file or folder; or hf://ORG/MODEL[@REVISION][/FILE]
    #[arg(long, value_name = "ORIGINAL")]
    against: Option<PathBuf>,
    #[cfg(feature = "eval")]
    #[command(flatten)]
    certificate: certificate::CertificateArguments,
}

impl Verify {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let begun = Instant::now();
        #[cfg(feature = "eval")]
        if self.certificate.is_asked() {
            return self.certificate.run(&self.file, self.against.as_deref(), global);
        }
        let against = self.against.as_deref().map(|path| input::local(path, "wcodec", global));
        let against = against.transpose()?;
        let original = against.as_ref().map(|input| &*input.path);
        let verified = if input::is_remote_file(&self.file) {
            // By ranges: nothing of it goes into the cache.
            let decoder = input::open(&self.file, global)?;
            checkpoint::verify_decoder(&decoder, original, &Display::new("verifying", global))?
        } else {
            let file = input::local(&self.file, "safetensors", global)?;
            let (progress, options) = (Display::new("verifying", global), global.decode_options());
            let wanted = |file: &std::ffi::OsStr| against.as_ref().is_none_or(|input| input.has(file));
            checkpoint::verify_only(&file.path, original, options, &progress, &wanted)?
        };
        let time = begun.elapsed();
        if global.json {
            return output::print_json(&json!({
                "command": "verify",
                "file": self.file.to_string_lossy(),
                "ok": true,
                "files": verified.files,
                "tensors": verified.tensors,
                "bytes": verified.bytes,
                "sha256_matches": verified.sources,
                "quantised": verified.quantised,
                "compared": verified.compared,
                "seconds": time.as_secs_f64(),
            }));
        }
        let mut text = format!("{}: fine: ", self.file.display());
        if verified.files > 1 {
            text += &format!("{}, ", count(verified.files, "file"));
        }
        text += &format!(
            "{} ({}) have their digests",
            count(verified.tensors, "tensor"),
            output::bytes(verified.bytes)
        );
        if verified.sources == verified.files {
            text += match verified.quantised {
                0 => ", SHA-256 is the original's",
                _ => {
                    ", SHA-256 is as it must be; weights were quantised on purpose, so it is not that of what was encoded"
                }
            };
        }
        if verified.compared == verified.files {
            text += &match (&self.against, verified.quantised) {
                (Some(against), 1..) => format!(", every byte is that of {}", against.display()),
                _ => ", every byte is the original's".to_owned(),
            };
        }
        output::print(&format!("{text} ({})\n", output::duration(time)))
    }
}

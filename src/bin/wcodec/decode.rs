//! `wcodec decode`.

use crate::Global;
use crate::failure::Failure;
use crate::input::{self, Input};
use crate::output;
use crate::progress::Display;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wcodec::checkpoint;

/// Restore the original of a .wcodec file, or of a folder of them
#[derive(Args)]
#[command(long_about = "\
Restore the original of a .wcodec file, or of a folder of them.

The restored file is the original byte for byte, and its SHA-256 is compared with the original's \
before it gets its name. Of quantised weights it is not the original, but a file of the same tensors, shapes and types with \
the weights that the file has; its SHA-256 is held against the one that encoding noted. In a folder every NAME.wcodec becomes NAME.safetensors, the index of \
shards follows, and all other files are copied.

Of a file OUT is a file's name, of a folder a folder's. With --force files of the same names are \
replaced. If OUT has other .safetensors files, nothing is written: they would be taken for the \
model's. So it is with a NAME.safetensors beside NAME.wcodec in IN.")]
#[command(after_help = "\
Examples:
  wcodec decode model.wcodec                       write model.safetensors
  wcodec decode model.wcodec -o copy.safetensors --force
  wcodec decode Llama-3.1-8B.wcodec -o Llama-3.1-8B
  WCODEC_BACKEND=scalar wcodec decode model.wcodec    without vector instructions")]
pub(crate) struct Decode {
    /// .wcodec file, or folder with such files; or hf://ORG/MODEL[@REVISION][/FILE]
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File or folder to write [default: IN with .safetensors, or a folder without .wcodec]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Replace an output that exists (of a folder, files of the same names)
    #[arg(long, short)]
    force: bool,
}

impl Decode {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        let local = input::local(&self.input, "safetensors", global)?;
        let Input { path: input, name, .. } = &local;
        let to = match &self.output {
            Some(to) => to.clone(),
            None if !input.is_dir() => name.with_extension("safetensors"),
            None if name.extension().is_some_and(|e| e == "wcodec") => name.with_extension(""),
            None => append(name, ".safetensors"),
        };
        refuse_existing(&to, input.is_dir(), self.force)?;
        let begun = Instant::now();
        {
            let progress = Display::new("decoding", global);
            checkpoint::decode_only(input, &to, global.decode_options(), &progress, &|file| local.has(file))?;
        }
        let time = begun.elapsed();
        let bytes = written(&to, input.is_dir())?;
        if global.json {
            return output::print_json(&json!({
                "command": "decode",
                "input": self.input.to_string_lossy(),
                "output": to.to_string_lossy(),
                "bytes": bytes,
                "seconds": time.as_secs_f64(),
            }));
        }
        let rate = output::rate(bytes, time.as_secs_f64());
        let (bytes, time) = (output::bytes(bytes), output::duration(time));
        output::print(&format!("{}: {bytes} restored in {time}, {rate}\n", to.display()))
    }
}

/// Bytes of the safetensors files that were written.
fn written(to: &Path, folder: bool) -> Result<u64, Failure> {
    let reading = || Failure::io(format!("reading {}", to.display()));
    if !folder {
        return Ok(std::fs::metadata(to).map_err(reading())?.len());
    }
    let mut bytes = 0;
    for entry in std::fs::read_dir(to).map_err(reading())? {
        let entry = entry.map_err(reading())?;
        if entry.path().extension().is_some_and(|e| e == "safetensors") {
            bytes += entry.metadata().map_err(reading())?.len();
        }
    }
    Ok(bytes)
}

/// A path with something after its last name, not in place of an extension.
pub(crate) fn append(path: &Path, suffix: &str) -> PathBuf {
    // Without a trailing slash, so that the suffix joins the name.
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Whether a path can only be a folder's: it ends with a slash, or with no name.
fn names_folder(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    let slash = text.last().is_some_and(|&b| std::path::is_separator(b.into()));
    // `Path` passes over a dot at the end.
    slash
        || path
            .file_name()
            .is_none_or(|name| !text.ends_with(name.as_encoded_bytes()))
}

/// Keeps what exists: a file, or a folder with anything in it, unless `force`; and what is neither.
pub(crate) fn refuse_existing(to: &Path, folder: bool, force: bool) -> Result<(), Failure> {
    if !folder && names_folder(to) {
        let what = "names a folder, and a file is written: give the file's name too";
        return Err(Failure::usage(format!("{:?} {what}", to.as_os_str())));
    }
    let exists = |why: &str| Err(Failure::new("exists", format!("{} {why}", to.display())));
    let Ok(metadata) = std::fs::metadata(to) else {
        return Ok(());
    };
    // A new file takes the place of an old one: that would be the end of a device or a pipe.
    match (folder, metadata.is_dir(), metadata.is_file()) {
        (true, false, _) => return exists("is no folder"),
        (false, true, _) => return exists("is a folder: a file is written here"),
        (false, _, false) => return exists("is no regular file"),
        _ => {}
    }
    let empty = folder && std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    match empty || force {
        true => Ok(()),
        false => exists("exists: name another, or --force to replace it"),
    }
}

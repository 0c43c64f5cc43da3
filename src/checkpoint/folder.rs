//! Folders: shards, their index, and the files beside them.

use super::{EXTENSION, Original, SAFETENSORS, decode_file, encode_file, verify};
use crate::container::NewFile;
use crate::encoder::{EncodeOptions, Report};
use crate::error::{Error, Result, display};
use crate::progress::Progress;
use crate::{DecodeOptions, Decoder};
use std::fs;
use std::path::{Path, PathBuf};

/// End of the name of a shard index.
const INDEX: &str = ".index.json";

/// The files of a folder, in order of name; folders in it are left out.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = || Error::io(format!("reading folder {}", display(folder)));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What becomes of the files of a folder that are no tensors.
fn carry(files: &[PathBuf], output: &Path, from: &str, to: &str) -> Result<()> {
    for path in files.iter().filter(|p| !has_extension(p, from)) {
        let bytes = fs::read(path).map_err(Error::io(format!("reading {}", display(path))))?;
        let index = format!(".{from}{INDEX}");
        let (name, bytes) = match name(path).strip_suffix(&index) {
            Some(stem) => (format!("{stem}.{to}{INDEX}"), rename_shards(path, &bytes, from, to)?),
            None => (name(path), bytes),
        };
        let mut file = NewFile::create(&output.join(name))?;
        file.write(&bytes)?;
        file.finish()?;
    }
    Ok(())
}

/// Exchanges the extension of the shards' names; every other byte stays, so that the way back gives
/// the same file.
fn rename_shards(path: &Path, json: &[u8], from: &str, to: &str) -> Result<Vec<u8>> {
    let invalid = |what: String| Error::input(display(path), format!("not a shard index: {what}"));
    let shards = |json: &str| -> Result<Vec<String>> {
        let index: serde_json::Value = serde_json::from_str(json).map_err(|e| invalid(e.to_string()))?;
        let map = index.get("weight_map").and_then(|m| m.as_object());
        let names = map.ok_or_else(|| invalid("it has no weight_map".into()))?.values();
        let name = |v: &serde_json::Value| v.as_str().map(str::to_owned);
        names
            .map(|v| name(v).ok_or_else(|| invalid(format!("{v} is no file name"))))
            .collect()
    };
    let text = std::str::from_utf8(json).map_err(|e| invalid(e.to_string()))?;
    let (from, to) = (format!(".{from}\""), format!(".{to}\""));
    let renamed = text.replace(&from, &to);
    let wanted = |name: &String| {
        name.strip_suffix(&from[..from.len() - 1])
            .map(|s| format!("{s}{}", &to[..to.len() - 1]))
    };
    let expected: Option<Vec<String>> = shards(text)?.iter().map(wanted).collect();
    match expected {
        Some(expected) if expected == shards(&renamed)? => Ok(renamed.into_bytes()),
        _ => Err(invalid(format!("a shard is no {from} file"))),
    }
}

fn prepare(input: &Path, output: &Path, extension: &str) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let files = files(input)?;
    let tensors: Vec<_> = files.iter().filter(|p| has_extension(p, extension)).cloned().collect();
    if tensors.is_empty() {
        return Err(Error::input(
            display(input),
            format!("the folder has no .{extension} file"),
        ));
    }
    fs::create_dir_all(output).map_err(Error::io(format!("creating folder {}", display(output))))?;
    Ok((files, tensors))
}

pub(super) fn encode(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    progress: &dyn Progress,
) -> Result<Vec<Report>> {
    let (files, shards) = prepare(input, output, SAFETENSORS)?;
    let originals = shards.iter().map(|p| Original::open(p)).collect::<Result<Vec<_>>>()?;
    progress.start(originals.iter().map(Original::len).sum());
    let mut reports = Vec::new();
    for (path, original) in shards.iter().zip(&originals) {
        let to = output.join(name(&path.with_extension(EXTENSION)));
        reports.push(encode_file(original, &to, options, progress)?);
    }
    carry(&files, output, SAFETENSORS, EXTENSION)?;
    Ok(reports)
}

pub(super) fn decode(input: &Path, output: &Path, options: DecodeOptions, progress: &dyn Progress) -> Result<()> {
    let (files, shards) = prepare(input, output, EXTENSION)?;
    let decoders = shards
        .iter()
        .map(|p| Decoder::open_with(p, options))
        .collect::<Result<Vec<_>>>()?;
    progress.start(
        decoders
            .iter()
            .flat_map(|d| d.index().tensors())
            .map(|t| t.byte_len())
            .sum(),
    );
    for (path, decoder) in shards.iter().zip(&decoders) {
        decode_file(decoder, &output.join(name(&path.with_extension(SAFETENSORS))), progress)?;
    }
    carry(&files, output, EXTENSION, SAFETENSORS)
}

/// Verifies every encoded file of a folder, each against the file of its name in `against`.
pub(super) fn verify_all(
    input: &Path,
    against: Option<&Path>,
    options: DecodeOptions,
    progress: &dyn Progress,
) -> Result<verify::Verified> {
    let shards: Vec<_> = files(input)?
        .into_iter()
        .filter(|p| has_extension(p, EXTENSION))
        .collect();
    if shards.is_empty() {
        return Err(Error::input(
            display(input),
            format!("the folder has no .{EXTENSION} file"),
        ));
    }
    let mut all = verify::Verified::default();
    for shard in shards {
        let against = against.map(|folder| folder.join(name(&shard.with_extension(SAFETENSORS))));
        all.add(verify::verify(&shard, against.as_deref(), options, progress)?);
    }
    Ok(all)
}

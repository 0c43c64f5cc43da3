//! The files of a checkpoint: one, or the shards that an index or a folder names.

use crate::error::display;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Shard indexes above this are refused: 16 million tensors take less.
const MAX_INDEX_BYTES: u64 = 1 << 30;

#[derive(Deserialize)]
struct ShardIndex {
    /// File of each tensor.
    weight_map: BTreeMap<String, String>,
}

/// The files of an extension (`wcodec`) that `path` stands for: itself; the shards of a
/// `.wcodec.index.json`; or of a folder, those of the one index in it, else all `.wcodec` files in it.
pub(crate) fn shards(path: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        let (mut indexes, mut files) = (Vec::new(), Vec::new());
        let reading = || Error::io(format!("reading folder {}", display(path)));
        for entry in fs::read_dir(path).map_err(reading())? {
            let entry = entry.map_err(reading())?.path();
            if is_index(&entry, extension) {
                indexes.push(entry);
            } else if entry.extension().is_some_and(|e| e == extension) {
                files.push(entry);
            }
        }
        return match &indexes[..] {
            [index] => of_index(index, extension),
            [] if files.is_empty() => Err(Error::input(
                display(path),
                format!("the folder has no .{extension} file"),
            )),
            [] => {
                files.sort();
                Ok(files)
            }
            _ => Err(Error::input(
                display(path),
                "the folder has several shard indexes: name one of them",
            )),
        };
    }
    if is_index(path, extension) {
        return of_index(path, extension);
    }
    Ok(vec![path.to_owned()])
}

fn is_index(path: &Path, extension: &str) -> bool {
    let end = format!(".{extension}.index.json");
    path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(&end))
}

fn of_index(path: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let reading = || Error::io(format!("reading {}", display(path)));
    let wrong = |what: String| Error::input(display(path), what);
    if fs::metadata(path).map_err(reading())?.len() > MAX_INDEX_BYTES {
        return Err(wrong(format!("a shard index has at most {MAX_INDEX_BYTES} bytes")));
    }
    let json = fs::read(path).map_err(reading())?;
    let index: ShardIndex = serde_json::from_slice(&json).map_err(|e| wrong(format!("not a shard index: {e}")))?;
    let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let shard = |name: &str| {
        // An index may come from anywhere: it names files beside it, and no others.
        let plain = matches!(
            Path::new(name).components().collect::<Vec<_>>()[..],
            [Component::Normal(only)] if only == name
        );
        match plain && name.ends_with(&format!(".{extension}")) {
            true => Ok(folder.join(name)),
            false => Err(wrong(format!("{name:?} is no name of a .{extension} file beside it"))),
        }
    };
    let shards: Vec<PathBuf> = names.into_iter().map(shard).collect::<Result<_>>()?;
    if shards.is_empty() {
        return Err(wrong("it names no shard".into()));
    }
    Ok(shards)
}

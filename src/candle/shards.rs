//! The files of a checkpoint: one, or the shards that an index or a folder names.

use crate::error::display;
use crate::shards::shard_files;
use crate::{Error, Result};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files of an extension (`wcodec`) that `path` stands for: itself; the shards of a
/// `.wcodec.index.json`; or of a folder, those of the one index in it, else all `.wcodec` files in it.
/// What is in a folder and no regular file is passed over, as a folder or a pipe of such a name.
pub(crate) fn shards(path: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        let (mut indexes, mut files) = (Vec::new(), Vec::new());
        let reading = || Error::io(format!("reading folder {}", display(path)));
        for entry in fs::read_dir(path).map_err(reading())? {
            let entry = entry.map_err(reading())?.path();
            let list = match is_index(&entry, extension) {
                true => &mut indexes,
                false if entry.extension().is_some_and(|e| e == extension) => &mut files,
                false => continue,
            };
            if !is_special(&entry) {
                list.push(entry);
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
    Ok(vec![regular(path.to_owned())?])
}

/// Opening a pipe would wait for its writer.
fn regular(path: PathBuf) -> Result<PathBuf> {
    match is_special(&path) {
        true => Err(Error::input(display(path), "a regular file is needed")),
        false => Ok(path),
    }
}

/// Whether it is there, and neither a regular file nor a link to one. A link that leads nowhere is not
/// passed over: the file that it stands for is missing.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| !m.is_file())
}

fn is_index(path: &Path, extension: &str) -> bool {
    let end = format!(".{extension}.index.json");
    path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(&end))
}

fn of_index(path: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let wrong = |what: String| Error::input(display(path), what);
    let folder = path.parent().unwrap_or(Path::new(""));
    let shard = |name: &String| {
        // An index may come from anywhere: it names files beside it, and no others.
        let plain = matches!(
            Path::new(name).components().collect::<Vec<_>>()[..],
            [Component::Normal(only)] if only == name.as_str()
        );
        match plain && name.ends_with(&format!(".{extension}")) {
            true => regular(folder.join(name)),
            false => Err(wrong(format!("{name:?} is no name of a .{extension} file beside it"))),
        }
    };
    let names = shard_files(path, |_| true)?;
    let shards: Vec<PathBuf> = names.iter().map(shard).collect::<Result<_>>()?;
    if shards.is_empty() {
        return Err(wrong("it names no shard".into()));
    }
    Ok(shards)
}

//! Writing a file: payloads first, behind room for the index; then the index; then the final name.

use crate::error::{Error, Result, display};
use crate::format::{ALIGNMENT, PREFIX_BYTES, Prefix, checksum};
use std::fs::{self, File};
#[cfg(feature = "eval")]
use std::io::Read;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Characters of a file's name in that of its temporary file: up to four bytes each.
const NAME_CHARS: usize = 25;

/// Ends the names of temporary files; before that are random characters.
const PARTIAL: &str = ".partial";
const RANDOM_CHARS: usize = 6;
/// A temporary file that has not been written to for so long, and that nobody has locked, is a killed run's.
const STALE: Duration = Duration::from_secs(60);

/// Begins the names of a file's temporary files. Cut, so that they fit where the name itself does.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!(".{}.", name.chars().take(NAME_CHARS).collect::<String>())
}

/// Removes what killed runs have left of a file. What cannot be removed is in nobody's way.
fn remove_stale(folder: &Path, path: &Path) {
    let prefix = prefix(path);
    let of_ours = |name: &str| {
        let random = name.strip_prefix(&*prefix)?.strip_suffix(PARTIAL)?;
        (random.len() == RANDOM_CHARS && random.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(())
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if of_ours(&entry.file_name().to_string_lossy()).is_none() {
            continue;
        }
        let Ok(file) = File::options().write(true).open(entry.path()) else {
            continue;
        };
        let written = file.metadata().and_then(|m| m.modified()).ok();
        let old = written.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > STALE);
        if old && file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A file that gets its name only when it is complete; dropped before, it leaves nothing.
pub(crate) struct NewFile {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
}

impl NewFile {
    /// Whether a file of this name can be replaced, or made new.
    pub(crate) fn check(path: &Path) -> Result<()> {
        if path.metadata().is_ok_and(|m| !m.is_file()) {
            let what = "there is something that is no regular file: choose another name";
            return Err(Error::usage(format!("{}: {what}", display(path))));
        }
        Ok(())
    }

    pub(crate) fn create(path: &Path) -> Result<Self> {
        let context = || format!("creating {}", display(path));
        Self::check(path)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        remove_stale(folder, path);
        let mut builder = tempfile::Builder::new();
        let prefix = prefix(path);
        builder.prefix(&prefix).suffix(PARTIAL).rand_bytes(RANDOM_CHARS);
        // Opened here, so that its permissions are those of any file, and an error does not name the
        // passing name.
        let open = |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
        let file = builder.make_in(folder, open).map_err(Error::io(context()))?;
        // As long as it is open, it is no killed run's. Where files cannot be locked, none is taken for that.
        let _ = File::try_lock(file.as_file());
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, file),
            path: path.to_owned(),
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(Error::io(format!("writing {}", display(&self.path))))
    }

    /// Moves to an offset; what is skipped reads as zeros.
    fn seek(&mut self, offset: u64) -> Result<()> {
        let seek = self.file.seek(SeekFrom::Start(offset));
        seek.map(|_| ())
            .map_err(Error::io(format!("writing {}", display(&self.path))))
    }

    /// Puts everything on the disk and gives the file its name.
    pub(crate) fn finish(self) -> Result<()> {
        let context = format!("writing {}", display(&self.path));
        let file = self
            .file
            .into_inner()
            .map_err(|e| Error::io(context.clone())(e.into_error()))?;
        let sync: std::io::Result<()> = File::sync_all(file.as_file());
        sync.map_err(Error::io(context.clone()))?;
        file.persist(&self.path).map_err(|e| Error::io(context)(e.error))?;
        Ok(())
    }
}

/// Writes the parts of a `.wcodec` file.
pub(crate) struct Writer {
    file: NewFile,
    /// Room that was left for the index.
    room: u64,
    /// End of what was written.
    end: u64,
}

impl Writer {
    /// Starts a file whose index takes at most `index_len` bytes.
    pub(crate) fn create(path: &Path, index_len: u64) -> Result<Self> {
        let end = (PREFIX_BYTES + index_len).next_multiple_of(ALIGNMENT);
        let mut file = NewFile::create(path)?;
        file.seek(end)?;
        Ok(Self {
            file,
            room: end - PREFIX_BYTES,
            end,
        })
    }

    /// Writes a payload of several parts, each padded to `align` bytes but the last; gives offset and length.
    pub(crate) fn payload<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>, align: u64) -> Result<[u64; 2]> {
        let offset = self.end.next_multiple_of(ALIGNMENT);
        self.pad(offset)?;
        for part in parts {
            self.file.write(part)?;
            self.end += part.len() as u64;
            self.pad(self.end.next_multiple_of(align))?;
        }
        Ok([offset, self.end - offset])
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        const ZEROS: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];
        self.file.write(&ZEROS[..(to - self.end) as usize])?;
        self.end = to;
        Ok(())
    }

    /// Writes index and prefix, and gives the file its name. Gives its size.
    pub(crate) fn finish(mut self, index: Vec<u8>) -> Result<u64> {
        self.file.seek(0)?;
        self.file.write(&start(index, self.room)?)?;
        self.file.finish()?;
        Ok(self.end)
    }
}

/// Prefix and index, which fills its room.
fn start(mut index: Vec<u8>, room: u64) -> Result<Vec<u8>> {
    if index.len() as u64 > room {
        return Err(Error::usage(
            "the index outgrew the room left for it: a bug of wcodec, please report it",
        ));
    }
    // White space fills the room, as in a safetensors header.
    index.resize(room as usize, b' ');
    let prefix = Prefix {
        major: crate::format::MAJOR,
        minor: crate::format::MINOR,
        index_len: room,
        index_checksum: checksum(&index),
    };
    let mut bytes = prefix.write().to_vec();
    bytes.append(&mut index);
    Ok(bytes)
}

/// Writes another index over a file's, in the same room: `change` makes the new one of the old.
#[cfg(feature = "eval")]
pub(crate) fn rewrite_index(path: &Path, change: impl FnOnce(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let rewriting = || Error::io(format!("writing the index of {}", display(path)));
    let mut file = File::options().read(true).write(true).open(path).map_err(rewriting())?;
    let mut prefix = [0; PREFIX_BYTES as usize];
    file.read_exact(&mut prefix).map_err(rewriting())?;
    let room = Prefix::parse(&prefix, &display(path))?.index_len;
    let mut old = Vec::new();
    (&file).take(room).read_to_end(&mut old).map_err(rewriting())?;
    let bytes = start(change(&old)?, room)?;
    file.seek(SeekFrom::Start(0)).map_err(rewriting())?;
    file.write_all(&bytes).map_err(rewriting())?;
    file.sync_all().map_err(rewriting())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.wcodec");
        let alive = NewFile::create(&path).unwrap();
        let make = |name: &str, age: u64| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        };
        make(".model.wcodec.aB3x9Q.partial", 3600);
        make(".model.wcodec.new000.partial", 1);
        make(".model.wcodec.letter to you.partial", 3600);
        make(".other.wcodec.aB3x9Q.partial", 3600);
        alive
            .file
            .get_ref()
            .as_file()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        let mut next = NewFile::create(&path).unwrap();
        next.write(b"whole").unwrap();
        next.finish().unwrap();
        assert!(alive.file.get_ref().path().is_file());
        drop(alive);
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        let kept = [
            ".model.wcodec.letter to you.partial",
            ".model.wcodec.new000.partial",
            ".other.wcodec.aB3x9Q.partial",
            "model.wcodec",
        ];
        assert_eq!(names, kept);
    }
}

//! Where probes lie until one of them is the output.

#[cfg(test)]
mod tests;

use crate::calibrate::BESIDE;
use crate::container::FolderLock;
use crate::error::display;
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder beside the output.
pub(super) struct Place {
    folder: PathBuf,
    /// The output's name.
    output: PathBuf,
    /// Whether the output is a folder.
    many: bool,
    lock: FolderLock,
}

/// Where probes of an output lie.
pub(super) fn folder(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".search");
    output.with_file_name(name)
}

/// Begins the names of probes' files.
const PROBE: &str = "probe-";
/// Begins the names of probes' files that are not whole.
const PARTIAL: &str = ".probe-";
/// Begin the names of journals.
pub(super) const JOURNAL: &str = BESIDE[0];
pub(super) const REFERENCE: &str = BESIDE[1];

impl Place {
    pub(super) fn beside(output: &Path, many: bool) -> Result<Self> {
        let folder = folder(output);
        fs::create_dir_all(&folder).map_err(Error::io(format!("making folder {}", display(&folder))))?;
        let place = Self {
            lock: FolderLock::take(&folder)?,
            folder,
            output: output.to_owned(),
            many,
        };
        // Of a run that was killed.
        place.sweep(&[PROBE, PARTIAL])?;
        Ok(place)
    }

    /// Deletes what has such a name.
    fn sweep(&self, names: &[&str]) -> Result<()> {
        for entry in fs::read_dir(&self.folder).map_err(self.working())? {
            let entry = entry.map_err(self.working())?;
            let name = entry.file_name();
            if names.iter().any(|n| name.to_string_lossy().starts_with(n)) {
                self.delete(&entry.path())?;
            }
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a probe is made: a file or a folder, as the output is.
    pub(super) fn probe(&self, number: usize) -> PathBuf {
        let end = if self.many { "" } else { ".wcodec" };
        self.folder.join(format!("{PROBE}{number}{end}"))
    }

    /// Deletes a probe.
    pub(super) fn delete(&self, probe: &Path) -> Result<()> {
        match probe.is_dir() {
            true => fs::remove_dir_all(probe),
            false => fs::remove_file(probe),
        }
        .map_err(self.working())
    }

    /// Gives a probe the output's name, or its files their names in that folder.
    pub(super) fn publish(&self, probe: &Path) -> Result<()> {
        let writing = || Error::io(format!("writing {}", display(&self.output)));
        if !self.many {
            return fs::rename(probe, &self.output).map_err(writing());
        }
        // All of them at once, if there is no such folder yet, or an empty one.
        if fs::rename(probe, &self.output).is_ok() {
            return Ok(());
        }
        fs::create_dir_all(&self.output).map_err(writing())?;
        for entry in fs::read_dir(probe).map_err(writing())? {
            let from = entry.map_err(writing())?;
            fs::rename(from.path(), self.output.join(from.file_name())).map_err(writing())?;
        }
        Ok(())
    }

    /// Deletes what is in it, and it: nothing is needed any more.
    pub(super) fn close(self) -> Result<()> {
        self.sweep(&[PROBE, PARTIAL, JOURNAL, REFERENCE])?;
        self.go()
    }

    /// Deletes the probes alone: what was found is of use for the next run.
    pub(super) fn leave(self) -> Result<()> {
        self.sweep(&[PROBE, PARTIAL])?;
        self.go()
    }

    fn go(self) -> Result<()> {
        self.lock.remove()?;
        // It was there before, or is of use, if it has something else.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    fn working(&self) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(format!("working in {}", display(&self.folder)))
    }
}

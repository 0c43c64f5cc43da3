//! Where probes lie until one of them is the output.

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
}

/// Begins the names of probes' files.
const PROBE: &str = "probe-";
/// Begin the names of journals.
pub(super) const JOURNAL: &str = "probes-";
pub(super) const REFERENCE: &str = "reference-";

impl Place {
    pub(super) fn beside(output: &Path, many: bool) -> Result<Self> {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(".search");
        let place = Self {
            folder: output.with_file_name(name),
            output: output.to_owned(),
            many,
        };
        fs::create_dir_all(&place.folder).map_err(place.working())?;
        // Of a run that was killed.
        place.sweep(&[PROBE])?;
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
        fs::create_dir_all(&self.output).map_err(writing())?;
        for entry in fs::read_dir(probe).map_err(writing())? {
            let from = entry.map_err(writing())?;
            fs::rename(from.path(), self.output.join(from.file_name())).map_err(writing())?;
        }
        Ok(())
    }

    /// Deletes what is in it, and it: nothing is needed any more.
    pub(super) fn close(self) -> Result<()> {
        self.sweep(&[PROBE, JOURNAL, REFERENCE])?;
        // It was there before, if it has something else.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    /// Deletes the probes alone: what was found is of use for the next run.
    pub(super) fn leave(self) -> Result<()> {
        self.sweep(&[PROBE])?;
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    fn working(&self) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(format!("working in {}", display(&self.folder)))
    }
}

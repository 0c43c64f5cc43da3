//! A folder that one run works in at a time.

#[cfg(test)]
mod tests;

use crate::error::display;
use crate::{Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Name of the file that is locked.
pub(crate) const LOCK: &str = "lock";

/// Held until it is dropped, or the process ends.
pub(crate) struct FolderLock {
    path: PathBuf,
    _file: File,
}

impl FolderLock {
    /// Takes a folder that is there.
    ///
    /// # Errors
    /// [`Error::Input`] if another run has it; [`Error::Io`].
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let locking = || Error::io(format!("locking {}", display(folder)));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(locking())?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(fs::TryLockError::WouldBlock) => {
                let what = "another run works in this folder: wait for it, or name another";
                Err(Error::input(display(folder), what))
            }
            Err(fs::TryLockError::Error(e)) => Err(locking()(e)),
        }
    }

    /// Removes the locked file, before the folder goes.
    pub(crate) fn remove(&self) -> Result<()> {
        fs::remove_file(&self.path).map_err(Error::io(format!("deleting {}", display(&self.path))))
    }
}

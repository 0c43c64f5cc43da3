//! Statistics on disk.

#[cfg(test)]
mod tests;

use crate::container::{FolderLock, LOCK};
use crate::error::display;
use crate::quant::factor::Factor;
use crate::{Error, Result};
use candle_core::{Device, Tensor, safetensors};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with the statistics of one model and one text. Others may use it for what is not statistics; one run has it
/// at a time.
pub(super) struct Store {
    folder: PathBuf,
    lock: FolderLock,
    /// Whether statistics of another key were there, and went.
    pub(super) replaced: bool,
}

/// Kept in a folder of statistics, so that those of another model or text are not taken for ours.
const KEY: &str = "key";
/// Begins what is kept there.
pub(super) const KEY_MAGIC: &str = "wcodec statistics ";
/// Ends the names of statistics: they are safetensors files, but no model's.
const END: &str = ".statistics";
/// Ends the names of those that are being written.
const PART: &str = ".statistics-part";
/// Begin the names of what a search keeps beside statistics.
pub(crate) const BESIDE: [&str; 2] = ["probes-", "reference-"];
/// What to do about damage.
const DELETE: &str = "delete the folder, they are gathered again";
/// Stands for a factor that cannot be had.
const NONE: &str = "none";

impl Store {
    /// Opens or makes a folder. Statistics of another `key` in it are deleted, and nothing else.
    ///
    /// # Errors
    /// [`Error::Input`] if it has files and no statistics: it is meant for something else; or if another run has it.
    pub(super) fn open(folder: &Path, key: &str) -> Result<Self> {
        let at = || Error::io(format!("keeping statistics in {}", display(folder)));
        fs::create_dir_all(folder).map_err(at())?;
        let lock = FolderLock::take(folder)?;
        let file = folder.join(KEY);
        let there = fs::read(&file).unwrap_or_default();
        if !there.starts_with(KEY_MAGIC.as_bytes()) && has_others(folder).map_err(at())? {
            lock.remove()?;
            let what = "it has files that are no statistics: name a folder of their own (--statistics)";
            return Err(Error::input(display(folder), what));
        }
        let store = Self {
            folder: folder.to_owned(),
            lock,
            replaced: !there.is_empty() && there != key.as_bytes(),
        };
        if there == key.as_bytes() {
            store.sweep(&is_unfinished)?;
        } else {
            store.sweep(&is_ours)?;
            fs::write(file, key).map_err(at())?;
        }
        Ok(store)
    }

    /// Refuses, before the work, a disk without room for statistics of so many bytes, of which some may be there.
    ///
    /// # Errors
    /// [`Error::Input`] with how much is missing.
    pub(super) fn room_for(&self, bytes: u64) -> Result<()> {
        let looking = || Error::io(format!("looking for statistics in {}", display(&self.folder)));
        let mut there = 0;
        for entry in fs::read_dir(&self.folder).map_err(looking())? {
            let entry = entry.map_err(looking())?;
            if is_ours(&entry.file_name().to_string_lossy()) {
                there += entry.metadata().map_err(looking())?.len();
            }
        }
        let missing = bytes.saturating_sub(there);
        match free(&self.folder) {
            Some(free) if free < missing => Err(Error::input(
                display(&self.folder),
                format!(
                    "statistics take up to {missing} bytes more there, and {free} are free on that disk: free some, or name a \
                     folder elsewhere (--statistics)"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Deletes files of such names.
    fn sweep(&self, goes: &dyn Fn(&str) -> bool) -> Result<()> {
        let deleting = || Error::io(format!("deleting statistics in {}", display(&self.folder)));
        for entry in fs::read_dir(&self.folder).map_err(deleting())? {
            let path = entry.map_err(deleting())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if goes(&name) {
                fs::remove_file(&path).map_err(deleting())?;
            }
        }
        Ok(())
    }

    /// Deletes the statistics, and the folder if it has nothing else.
    pub(super) fn delete(&self) -> Result<()> {
        self.sweep(&is_ours)?;
        self.lock.remove()?;
        // Others may have put something there.
        let _ = fs::remove_dir(&self.folder);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{END}"))
    }

    /// Saves tensors under a name, all or none.
    pub(super) fn save(&self, name: &str, tensors: &HashMap<String, Tensor>) -> Result<()> {
        // Others may be saved at the same time.
        let (path, part) = (self.path(name), self.folder.join(format!("{name}{PART}")));
        let saved =
            safetensors::save(tensors, &part).map_err(|e| Error::input(display(&part), format!("not written: {e}")));
        if saved.is_err() {
            // Of a disk that is full it takes the last room.
            let _ = fs::remove_file(&part);
        }
        saved?;
        fs::rename(&part, &path).map_err(Error::io(format!("writing {}", display(&path))))
    }

    /// `None` if they were not saved.
    pub(super) fn load(&self, name: &str) -> Result<Option<HashMap<String, Tensor>>> {
        let path = self.path(name);
        if !path.is_file() {
            return Ok(None);
        }
        let damaged = |e| Error::input(display(&path), format!("damaged statistics ({e}): {DELETE}"));
        safetensors::load(&path, &Device::Cpu).map(Some).map_err(damaged)
    }

    /// Saves a factor, or that there is none.
    pub(super) fn save_factor(&self, name: &str, factor: Option<&Factor>) -> Result<()> {
        let Some(factor) = factor else {
            return self.save(
                name,
                &HashMap::from([(NONE.to_owned(), Tensor::new(0u32, &Device::Cpu)?)]),
            );
        };
        let tensors = HashMap::from([
            ("order".to_owned(), Tensor::new(&factor.order[..], &Device::Cpu)?),
            ("diagonal".to_owned(), Tensor::new(&factor.diagonal[..], &Device::Cpu)?),
            ("feedback".to_owned(), Tensor::new(&factor.feedback[..], &Device::Cpu)?),
        ]);
        self.save(name, &tensors)
    }

    /// `None` if there is none.
    pub(super) fn load_factor(&self, name: &str) -> Result<Option<Factor>> {
        let Some(tensors) = self.load(name)?.filter(|tensors| !tensors.contains_key(NONE)) else {
            return Ok(None);
        };
        let get = |what: &str| tensors.get(what).ok_or("lack a tensor");
        let factor = || {
            let (order, diagonal, feedback) = (get("order")?, get("diagonal")?, get("feedback")?);
            let no_numbers = |_| "have another type";
            let factor = Factor {
                order: order.to_vec1().map_err(no_numbers)?,
                diagonal: diagonal.to_vec1().map_err(no_numbers)?,
                feedback: feedback.to_vec1().map_err(no_numbers)?,
            };
            factor.is_whole().then_some(factor).ok_or("are no factor")
        };
        let damaged = |what| {
            Error::input(
                display(self.path(name)),
                format!("damaged statistics (they {what}): {DELETE}"),
            )
        };
        factor().map(Some).map_err(damaged)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path(name).is_file()
    }

    pub(super) fn forget(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        if path.is_file() {
            fs::remove_file(&path).map_err(Error::io(format!("deleting {}", display(&path))))?;
        }
        Ok(())
    }
}

/// Bytes that may be written where a folder is, if the system says so.
fn free(folder: &Path) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return rustix::fs::statvfs(folder)
        .ok()
        .map(|s| s.f_bavail.saturating_mul(s.f_frsize));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// Whether a file of this name is one of statistics, or was to become one.
fn is_ours(name: &str) -> bool {
    name == KEY || name.ends_with(END) || is_unfinished(name)
}

/// Whether it is what a killed run left: under our name, or under that which safetensors files have until they are whole.
fn is_unfinished(name: &str) -> bool {
    let random = name.strip_prefix(".tmp");
    name.ends_with(PART) || random.is_some_and(|r| r.len() == 6 && r.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Whether a folder has anything but what runs leave beside statistics.
fn has_others(folder: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name != LOCK && !is_ours(&name) && !BESIDE.iter().any(|b| name.starts_with(b)) {
            return Ok(true);
        }
    }
    Ok(false)
}

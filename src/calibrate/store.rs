//! Statistics on disk.

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
        let file = folder.join(KEY);
        let there = fs::read(&file).unwrap_or_default();
        if !there.starts_with(KEY_MAGIC.as_bytes()) && has_others(folder).map_err(at())? {
            let what = "it has files that are no statistics: name a folder of their own (--statistics)";
            return Err(Error::input(display(folder), what));
        }
        let store = Self {
            folder: folder.to_owned(),
            lock: FolderLock::take(folder)?,
        };
        if there != key.as_bytes() {
            store.sweep()?;
            fs::write(file, key).map_err(at())?;
        }
        Ok(store)
    }

    /// Deletes all statistics.
    fn sweep(&self) -> Result<()> {
        let deleting = || Error::io(format!("deleting statistics in {}", display(&self.folder)));
        for entry in fs::read_dir(&self.folder).map_err(deleting())? {
            let path = entry.map_err(deleting())?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == KEY || [END, PART].iter().any(|end| name.ends_with(end)) {
                fs::remove_file(&path).map_err(deleting())?;
            }
        }
        Ok(())
    }

    /// Deletes the statistics, and the folder if it has nothing else.
    pub(super) fn delete(&self) -> Result<()> {
        self.sweep()?;
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
        let saved = safetensors::save(tensors, &part).map_err(|e| Error::input(display(&part), format!("not written: {e}")));
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
        let damaged = |what| Error::input(display(self.path(name)), format!("damaged statistics (they {what}): {DELETE}"));
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

/// Whether a folder has anything but what runs leave beside statistics.
fn has_others(folder: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let ours = name == LOCK || [END, PART].iter().any(|end| name.ends_with(end)) || BESIDE.iter().any(|b| name.starts_with(b));
        if !ours {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path, key: &str) -> Result<Store> {
        Store::open(folder, &format!("{KEY_MAGIC}{key}"))
    }

    fn one() -> HashMap<String, Tensor> {
        HashMap::from([("x".to_owned(), Tensor::new(1u32, &Device::Cpu).unwrap())])
    }

    #[test]
    fn nothing_of_others_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("kept");
        let own = store(&folder, "a").unwrap();
        own.save("one", &one()).unwrap();
        fs::write(folder.join("letter.txt"), "mine").unwrap();
        drop(own);
        // Of another key the statistics go, the letter stays.
        let other = store(&folder, "b").unwrap();
        assert!(!other.has("one") && folder.join("letter.txt").is_file());
        other.delete().unwrap();
        let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["letter.txt"]);
        // A folder that is someone's, and one with a key that is not ours.
        let refused = |folder: &Path| {
            let said = store(folder, "a").err().unwrap().to_string();
            assert!(said.contains("no statistics"), "{said}");
        };
        refused(&folder);
        fs::write(folder.join(KEY), "to the front door").unwrap();
        refused(&folder);
        assert_eq!(fs::read(folder.join(KEY)).unwrap(), b"to the front door");
    }

    #[test]
    fn damage_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), "a").unwrap();
        let hessian = [2.0, 0.5, 0.5, 1.0];
        let good = Factor::new(&hessian, 2).unwrap();
        store.save_factor("f", Some(&good)).unwrap();
        assert_eq!(store.load_factor("f").unwrap().unwrap(), good);
        let spoilt = [
            Factor { order: vec![0, 2], ..good.clone() },
            Factor { order: vec![1, 1], ..good.clone() },
            Factor { feedback: vec![1.0; 2], ..good.clone() },
            Factor { diagonal: vec![f32::NAN, 1.0], ..good.clone() },
            Factor { diagonal: vec![1.0], ..good },
        ];
        for factor in spoilt {
            store.save_factor("f", Some(&factor)).unwrap();
            let said = store.load_factor("f").unwrap_err().to_string();
            assert!(said.contains("damaged") && said.contains("delete the folder"), "{said}");
        }
        store.save("f", &one()).unwrap();
        assert!(store.load_factor("f").unwrap_err().to_string().contains("lack a tensor"));
        let path = store.path("f");
        let bytes = fs::read(&path).unwrap();
        for len in [0, 7, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            let said = store.load("f").unwrap_err().to_string();
            assert!(said.contains("damaged") && said.contains("f.statistics"), "{said}");
        }
    }
}

//! Statistics on disk.

use crate::error::display;
use crate::quant::factor::Factor;
use crate::{Error, Result};
use candle_core::{Device, Tensor, safetensors};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with the statistics of one model and one text.
pub(super) struct Store {
    folder: PathBuf,
}

/// Kept in a folder of statistics, so that those of another model or text are not taken for ours.
const KEY: &str = "key";
/// Stands for a factor that cannot be had.
const NONE: &str = "none";

impl Store {
    /// Opens or makes a folder. What is in it of another `key` is deleted.
    pub(super) fn open(folder: &Path, key: &str) -> Result<Self> {
        let at = || Error::io(format!("keeping statistics in {}", display(folder)));
        let file = folder.join(KEY);
        if fs::read_to_string(&file).ok().as_deref() != Some(key) {
            if file.is_file() {
                fs::remove_dir_all(folder).map_err(at())?;
            }
            fs::create_dir_all(folder).map_err(at())?;
            fs::write(file, key).map_err(at())?;
        }
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    /// Deletes the folder.
    pub(super) fn delete(&self) -> Result<()> {
        let deleting = Error::io(format!("deleting {}", display(&self.folder)));
        fs::remove_dir_all(&self.folder).map_err(deleting)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.safetensors"))
    }

    /// Saves tensors under a name, all or none.
    pub(super) fn save(&self, name: &str, tensors: &HashMap<String, Tensor>) -> Result<()> {
        // Others may be saved at the same time.
        let (path, part) = (self.path(name), self.folder.join(format!("{name}.part")));
        safetensors::save(tensors, &part)?;
        fs::rename(&part, &path).map_err(Error::io(format!("writing {}", display(&path))))
    }

    /// `None` if they were not saved.
    pub(super) fn load(&self, name: &str) -> Result<Option<HashMap<String, Tensor>>> {
        let path = self.path(name);
        if !path.is_file() {
            return Ok(None);
        }
        Ok(Some(safetensors::load(path, &Device::Cpu)?))
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
        let get = |what: &str| {
            let missing = || {
                Error::input(
                    display(self.path(name)),
                    format!("no tensor {what:?}: delete the folder"),
                )
            };
            tensors.get(what).ok_or_else(missing)
        };
        Ok(Some(Factor {
            order: get("order")?.to_vec1()?,
            diagonal: get("diagonal")?.to_vec1()?,
            feedback: get("feedback")?.to_vec1()?,
        }))
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

//! What becomes of each file of a folder: decided, and checked, before any file is written.

use super::folder::{files, has_extension};
use crate::container::NewFile;
use crate::error::{Error, Result, display};
use crate::progress::Progress;
use crate::shards;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;
/// Names in a message.
const NAMED: usize = 10;

/// The files that a folder is turned into.
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Extension of the files with tensors that are written.
    to: &'static str,
}

pub(super) struct Step {
    pub(super) from: PathBuf,
    /// In the folder that is written.
    pub(super) name: OsString,
    pub(super) what: What,
}

#[derive(PartialEq, Eq)]
pub(super) enum What {
    /// It is encoded, or decoded.
    Tensors,
    /// The index of shards: its bytes, with their new names.
    Index(Vec<u8>),
    /// It is copied.
    Copy,
}

impl Plan {
    /// For those files of a folder whose name `wanted` takes; files with tensors change their extension.
    pub(super) fn new(
        folder: &Path,
        from: &'static str,
        to: &'static str,
        wanted: &dyn Fn(&OsStr) -> bool,
    ) -> Result<Self> {
        let step = |path: PathBuf| {
            let (name, what) = match stem_of_index(&path, from) {
                _ if has_extension(&path, from) => (name(&path.with_extension(to)), What::Tensors),
                Some(mut name) => {
                    name.push(format!(".{to}.index.json"));
                    let index = shards::rename(&path, &shards::read(&path)?, from, to)?;
                    (name, What::Index(index))
                }
                None => (name(&path), What::Copy),
            };
            Ok(Step { from: path, name, what })
        };
        let files = files(folder)?.into_iter().filter(|path| wanted(&name(path)));
        let steps = files.map(step).collect::<Result<Vec<_>>>()?;
        if !steps.iter().any(|s| s.what == What::Tensors) {
            return Err(Error::input(display(folder), format!("the folder has no .{from} file")));
        }
        Ok(Self { steps, to })
    }

    /// The files with tensors.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|s| s.what == What::Tensors)
    }

    /// Those files that would be copied over one that is written.
    pub(super) fn colliding(&self) -> impl Iterator<Item = &Step> {
        let written = self.steps.iter().filter(|s| s.what != What::Copy);
        let written: HashSet<&OsStr> = written.map(|s| s.name.as_os_str()).collect();
        self.steps
            .iter()
            .filter(move |s| s.what == What::Copy && written.contains(s.name.as_os_str()))
    }

    /// Refuses files that stand in the way: such that are copied over one that is written, and, where it
    /// is written, such of an earlier run that are not replaced. Whoever opens that folder would take them
    /// for the model's.
    pub(super) fn check(&self, output: &Path) -> Result<()> {
        if let Some(step) = self.colliding().next() {
            let what = "a file of this name would be made of another one in this folder, and both cannot be the model's: move \
                        one of them out of the folder, or name the file to take instead of the folder";
            return Err(Error::input(display(&step.from), what));
        }
        if !output.is_dir() {
            return Ok(());
        }
        for step in &self.steps {
            NewFile::check(&output.join(&step.name))?;
        }
        let planned: HashSet<&OsStr> = self.steps.iter().map(|s| s.name.as_os_str()).collect();
        let stale = |path: &PathBuf| {
            (has_extension(path, self.to) || stem_of_index(path, self.to).is_some())
                && !planned.contains(name(path).as_os_str())
        };
        let stale: Vec<PathBuf> = files(output)?.into_iter().filter(stale).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let named: Vec<String> = stale.iter().take(NAMED).map(|path| display(name(path))).collect();
        let more = match stale.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = "the folder has files that would not be replaced and not belong to the model";
        let what = format!(
            "{what}: {}{more}: remove them, or write to another folder",
            named.join(", ")
        );
        Err(Error::input(display(output), what))
    }

    /// Bytes that [`Plan::carry`] writes.
    pub(super) fn carried_bytes(&self) -> u64 {
        let bytes = |step: &Step| match &step.what {
            What::Tensors => 0,
            What::Index(bytes) => bytes.len() as u64,
            // What cannot be read is an error when it is copied.
            What::Copy => fs::metadata(&step.from).map_or(0, |m| m.len()),
        };
        self.steps.iter().map(bytes).sum()
    }

    /// Writes what is no tensors.
    pub(super) fn carry(&self, output: &Path, progress: &dyn Progress) -> Result<()> {
        for step in &self.steps {
            let to = output.join(&step.name);
            match &step.what {
                What::Tensors => {}
                What::Index(bytes) => {
                    let mut file = NewFile::create(&to)?;
                    file.write(bytes)?;
                    file.finish()?;
                    progress.advance(bytes.len() as u64, &step.name.to_string_lossy());
                }
                What::Copy => {
                    let mut file = NewFile::create(&to)?;
                    let name = step.name.to_string_lossy();
                    read_blocks(&step.from, progress, |block| {
                        file.write(block)?;
                        progress.advance(block.len() as u64, &name);
                        Ok(())
                    })?;
                    file.finish()?;
                }
            }
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
        }
        Ok(())
    }
}

/// Hands out a file's bytes, block by block, until it ends or the work is cancelled.
pub(super) fn read_blocks(
    path: &Path,
    progress: &dyn Progress,
    mut block: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let reading = || Error::io(format!("reading {}", display(path)));
    let mut file = File::open(path).map_err(reading())?;
    let mut buffer = vec![0; BLOCK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => block(&buffer[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(reading()(e)),
        }
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
    }
}

pub(super) fn name(path: &Path) -> OsString {
    path.file_name().unwrap_or_default().to_owned()
}

/// Of `STEM.EXTENSION.index.json`, the index of shards, its stem.
fn stem_of_index(path: &Path, extension: &str) -> Option<OsString> {
    let mut path = PathBuf::from(path.file_name()?);
    for end in ["json", "index", extension] {
        if !has_extension(&path, end) {
            return None;
        }
        path.set_extension("");
    }
    Some(path.into_os_string())
}

//! The cache that Python's huggingface_hub shares: `models--ORG--NAME/{blobs, refs, snapshots}`.
//!
//! What is under a final name in `blobs` is complete. A snapshot's files are symbolic links to blobs,
//! or copies where the system has no links.

use super::names;
use crate::error::{Error, Result};
use hf_hub::{CacheRepo, Repo, RepoType};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Between two tries at a lock.
const LOCK_EVERY: Duration = Duration::from_millis(50);

/// One repository's part of the cache.
pub(super) struct Cache {
    repo: CacheRepo,
    /// `refs/REVISION`.
    reference: PathBuf,
    /// `.locks/models--ORG--NAME`.
    locks: PathBuf,
    revision: String,
}

/// Held while a blob is written, by one process at a time. Python's huggingface_hub holds the same.
pub(super) struct Lock(#[expect(dead_code, reason = "held open, for its lock")] File);

/// A commit, and its files with their sizes.
pub(super) type Listing = (String, Vec<(String, u64)>);

fn io(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("{doing} {}", path.display()))
}

fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(io("creating folder", parent)),
        None => Ok(()),
    }
}

/// A name beside `path` that no other process uses.
fn beside(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(
        ".{}-{}.new",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    name.into()
}

impl Cache {
    pub(super) fn new(root: &Path, id: &str, revision: &str) -> Self {
        let repo = Repo::with_revision(id.into(), RepoType::Model, revision.into());
        let folder = repo.folder_name();
        Self {
            repo: hf_hub::Cache::new(root.to_owned()).repo(repo),
            reference: root.join(&folder).join("refs").join(revision),
            locks: root.join(".locks").join(folder),
            revision: revision.into(),
        }
    }

    /// The commit that the revision was when it was last asked for.
    pub(super) fn commit(&self) -> Option<String> {
        if names::is_commit(&self.revision) {
            return Some(self.revision.clone());
        }
        let commit = fs::read_to_string(&self.reference).ok()?;
        let commit = commit.trim();
        names::is_commit(commit).then(|| commit.to_owned())
    }

    /// Remembers the commit that the revision is now.
    pub(super) fn set_commit(&self, commit: &str) -> Result<()> {
        if commit == self.revision || self.commit().as_deref() == Some(commit) {
            return Ok(());
        }
        create_parent(&self.reference)?;
        // Under its name at once and whole: other processes read it.
        let new = beside(&self.reference);
        fs::write(&new, commit).map_err(io("writing", &new))?;
        fs::rename(&new, &self.reference).map_err(io("writing", &self.reference))
    }

    /// Where a file of a commit is, or will be.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// A file of the revision, if it is here.
    pub(super) fn find(&self, file: &str) -> Option<PathBuf> {
        let path = self.snapshot(&self.commit()?).join(file);
        path.is_file().then_some(path)
    }

    /// The files of a commit, or else of the revision, that are here, with their sizes.
    pub(super) fn files(&self, commit: Option<&str>) -> Result<Option<Listing>> {
        let Some(commit) = commit.map(str::to_owned).or_else(|| self.commit()) else {
            return Ok(None);
        };
        let root = self.snapshot(&commit);
        if !root.is_dir() {
            return Ok(None);
        }
        let (mut files, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            let path = root.join(&folder);
            for entry in fs::read_dir(&path).map_err(io("reading folder", &path))? {
                let entry = entry.map_err(io("reading folder", &path))?;
                let Some(name) = entry.file_name().to_str().map(|name| format!("{folder}{name}")) else {
                    continue;
                };
                // Through links; one that leads nowhere is no file.
                match fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_dir() => folders.push(format!("{name}/")),
                    Ok(metadata) => files.push((name, metadata.len())),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        Ok(Some((commit, files)))
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(etag)
    }

    /// Whether the blob is here, of its size.
    pub(super) fn has(&self, etag: &str, size: u64) -> bool {
        fs::metadata(self.blob(etag)).is_ok_and(|m| m.is_file() && m.len() == size)
    }

    /// Waits until no other process writes this blob.
    pub(super) fn lock(&self, etag: &str, cancelled: &dyn Fn() -> bool) -> Result<Lock> {
        let path = self.locks.join(format!("{etag}.lock"));
        create_parent(&path)?;
        loop {
            let mut options = OpenOptions::new();
            // Python's library may take the file away when it is done.
            let file = options.create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(io("creating", &path))?;
            loop {
                match file.try_lock() {
                    Ok(()) => break,
                    Err(fs::TryLockError::WouldBlock) => {}
                    // A file system without locks: the last rename wins, and is a whole file.
                    Err(fs::TryLockError::Error(_)) => return Ok(Lock(file)),
                }
                if cancelled() {
                    return Err(Error::Cancelled);
                }
                thread::sleep(LOCK_EVERY);
            }
            if is_at(&file, &path) {
                return Ok(Lock(file));
            }
        }
    }

    /// Gives a complete file its name among the blobs. The lock is held.
    pub(super) fn store(&self, partial: &Path, etag: &str) -> Result<()> {
        let blob = self.blob(etag);
        fs::rename(partial, &blob).map_err(io("renaming to", &blob))
    }

    /// Has a snapshot's file lead to its blob.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(file);
        let blob = self.blob(etag);
        // From the file's folder, below `snapshots/COMMIT`, up to the repository's.
        let up = "../".repeat(2 + file.matches('/').count());
        let target = PathBuf::from(format!("{up}blobs/{etag}"));
        if fs::read_link(&path).is_ok_and(|t| t == target) {
            return Ok(path);
        }
        create_parent(&path)?;
        let new = beside(&path);
        if symlink(&target, &new).is_err() {
            fs::copy(&blob, &new).map_err(io("copying to", &new))?;
        }
        fs::rename(&new, &path).map_err(io("writing", &path))?;
        Ok(path)
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

/// Whether an open file is still the one of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

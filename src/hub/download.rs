//! A whole file into the cache, several ranges at a time.
//!
//! The file grows beside its final name, as `ETAG.wcodec.incomplete`: its blocks arrive in any order, so
//! that it must not be taken for the incomplete file of another program, which goes on at its end. What
//! has arrived is kept when the work ends early, and the next download of the file goes on from there.
//! It gets its final name when all of it is here and has its digest.

#[cfg(feature = "candle")]
mod reading;

use super::cache::{Cache, Lock};
use super::digest::Digest;
use super::fetch::Target;
use super::metadata::Metadata;
use super::parts::Parts;
use crate::container::read_exact_at;
use crate::error::{Error, HubProblem, Result};
use crate::progress::Progress;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that are read back at a time for the digest.
const BUFFER: usize = 1 << 20;

/// A file on its way into the cache.
pub(super) struct Download {
    target: Target,
    cache: Arc<Cache>,
    name: String,
    metadata: Metadata,
    file: File,
    partial: PathBuf,
    journal: PathBuf,
    state: Mutex<State>,
    /// A block has arrived, or the work has ended.
    changed: Condvar,
    /// Until the work has ended; readers may hold the download for longer.
    lock: Mutex<Option<Lock>>,
}

struct State {
    parts: Parts,
    /// Blocks that somebody waits for, in order.
    wanted: Vec<Range<usize>>,
    /// Why the rest will not come.
    ended: Option<Error>,
    /// The server knows no ranges: one request has it all.
    whole: bool,
    /// Some of it arrived in an earlier run.
    resumed: bool,
    /// Only what is waited for is fetched, for now.
    held: bool,
    /// The work ends when that is here.
    part: bool,
}

/// What the work is told while it goes on.
struct Watch<'a> {
    download: &'a Download,
    progress: &'a dyn Progress,
}

impl Watch<'_> {
    fn cancelled(&self) -> bool {
        self.progress.cancelled() || self.download.state().ended.is_some()
    }
}

impl Download {
    /// Prepares to go on with what is there. `lock` is that of the blob.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn open(target: Target, cache: Arc<Cache>, name: &str, metadata: Metadata, lock: Lock) -> Result<Self> {
        let [partial, journal] = unfinished(&cache, &metadata.etag);
        if let Some(folder) = partial.parent() {
            fs::create_dir_all(folder).map_err(Error::io(format!("creating folder {}", folder.display())))?;
        }
        let writing = || Error::io(format!("writing {}", partial.display()));
        let is_there = fs::metadata(&partial).is_ok_and(|m| m.len() == metadata.size);
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).read(true).write(true);
        let file = file.open(&partial).map_err(writing())?;
        file.set_len(metadata.size).map_err(writing())?;
        let block_bytes = target.client().options.block_bytes.max(1);
        let parts = Parts::open(&journal, is_there, metadata.size, block_bytes)
            .map_err(Error::io(format!("writing {}", journal.display())))?;
        let state = State {
            resumed: parts.arrived() > 0,
            parts,
            wanted: Vec::new(),
            ended: None,
            whole: false,
            held: false,
            part: false,
        };
        Ok(Self {
            target,
            cache,
            name: name.into(),
            metadata,
            file,
            partial,
            journal,
            state: Mutex::new(state),
            changed: Condvar::new(),
            lock: Mutex::new(Some(lock)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn io(&self, doing: &str) -> impl FnOnce(io::Error) -> Error {
        Error::io(format!("{doing} {}", self.partial.display()))
    }

    /// Fetches what is missing, checks the digest, gives the file its name. Where it is then.
    ///
    /// # Errors
    /// [`Error::Hub`], [`Error::Io`], [`Error::Cancelled`]. What has arrived is kept, unless its digest is
    /// wrong.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<PathBuf> {
        progress.start(self.metadata.size);
        progress.advance(self.state().parts.arrived(), &self.name);
        let result = self.fill(progress).and_then(|()| self.finish());
        if let Err(error) = &result {
            self.end(error.clone());
        }
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    /// Fetches the blocks that hold these ranges, and leaves them for a later download, and for readers
    /// of parts.
    ///
    /// # Errors
    /// As [`Download::run`].
    pub(super) fn run_part(&self, ranges: &[Range<u64>], progress: &dyn Progress) -> Result<()> {
        let missing: u64 = {
            let mut state = self.state();
            (state.held, state.part) = (true, true);
            state.wanted = ranges.iter().map(|range| state.parts.covering(range)).collect();
            let blocks: BTreeSet<usize> = state.wanted.iter().cloned().flatten().collect();
            let missing = blocks.into_iter().filter(|&b| !state.parts.is_here(b));
            missing.map(|b| state.parts.bytes(b)).map(|r| r.end - r.start).sum()
        };
        progress.start(missing);
        let watch = Watch {
            download: self,
            progress,
        };
        std::thread::scope(|scope| {
            for _ in 0..self.target.client().options.in_flight.max(1) {
                scope.spawn(|| self.work(&watch));
            }
        });
        self.state().ended.clone().map_or(Ok(()), Err)
    }

    fn fill(&self, progress: &dyn Progress) -> Result<()> {
        let watch = Watch {
            download: self,
            progress,
        };
        loop {
            let differs = std::thread::scope(|scope| {
                for _ in 0..self.target.client().options.in_flight.max(1) {
                    scope.spawn(|| self.work(&watch));
                }
                self.digest()
            })?;
            let Some(got) = differs else { return Ok(()) };
            let mut state = self.state();
            state.whole = false;
            drop(state);
            if self.forget()? {
                // What an earlier run left may be damaged: once more, from nothing.
                continue;
            }
            // Nothing of it is worth keeping. It is written again if it cannot be removed.
            let _ = (fs::remove_file(&self.journal), fs::remove_file(&self.partial));
            let what = format!("what arrived has the digest {got}, not its name's; it was removed: download it again");
            return Err(self.target.error(HubProblem::Digest, what));
        }
    }

    /// Forgets what has arrived, if some of it did in an earlier run. Whether that was so.
    pub(super) fn forget(&self) -> Result<bool> {
        let mut state = self.state();
        let resumed = std::mem::take(&mut state.resumed);
        if resumed {
            let clear = state.parts.clear();
            clear.map_err(Error::io(format!("writing {}", self.journal.display())))?;
        }
        Ok(resumed)
    }

    /// Gives the complete file its name.
    fn finish(&self) -> Result<PathBuf> {
        self.file.sync_data().map_err(self.io("writing"))?;
        self.cache.store(&self.partial, &self.metadata.etag)?;
        // It says nothing any more, and would be found wrong if it stayed.
        let _ = fs::remove_file(&self.journal);
        let (commit, etag) = (&self.metadata.commit, &self.metadata.etag);
        let path = self.cache.link(commit, &self.name, etag)?;
        self.cache.set_commit(commit)?;
        Ok(path)
    }

    fn end(&self, error: Error) {
        self.state().ended.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Fetches block after block.
    fn work(&self, watch: &Watch) {
        while let Some((block, bytes)) = self.take() {
            let result = self.target.fetch(bytes, &|| watch.cancelled(), &mut |offset, bytes| {
                write_at(&self.file, offset, bytes).map_err(self.io("writing"))?;
                watch.progress.advance(bytes.len() as u64, &self.name);
                Ok(())
            });
            let result = match result {
                Ok(()) => self.arrive(block),
                Err(error) => {
                    self.state().parts.give_up(block);
                    match ignores_ranges(&error) && !self.state().part {
                        true => self.work_whole(watch),
                        false => Err(error),
                    }
                }
            };
            if let Err(error) = result {
                self.end(error);
            }
        }
    }

    /// Fetches it all in one request, unless another thread does.
    fn work_whole(&self, watch: &Watch) -> Result<()> {
        if std::mem::replace(&mut self.state().whole, true) {
            return Ok(());
        }
        self.target.fetch_whole(&|| watch.cancelled(), &mut |offset, bytes| {
            write_at(&self.file, offset, bytes).map_err(self.io("writing"))?;
            watch.progress.advance(bytes.len() as u64, &self.name);
            let end = offset + bytes.len() as u64;
            let complete: Vec<usize> = {
                let state = self.state();
                let blocks = state.parts.covering(&(offset..end));
                blocks
                    .filter(|&b| state.parts.bytes(b).end <= end && !state.parts.is_here(b))
                    .collect()
            };
            complete.into_iter().try_for_each(|block| self.arrive(block))
        })
    }

    /// The next block to fetch. `None` if there is nothing left to do.
    fn take(&self) -> Option<(usize, Range<u64>)> {
        let mut state = self.state();
        loop {
            if state.ended.is_some() || state.whole || !state.parts.any_missing() {
                return None;
            }
            let State {
                parts,
                wanted,
                held,
                part,
                ..
            } = &mut *state;
            let first = wanted.iter().cloned().flatten();
            let block = match held {
                true => parts.take_of(first),
                false => parts.take(first),
            };
            if let Some(block) = block {
                return Some((block, parts.bytes(block)));
            }
            if *part {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn arrive(&self, block: usize) -> Result<()> {
        let arrived = self.state().parts.arrive(block);
        self.changed.notify_all();
        arrived.map_err(Error::io(format!("writing {}", self.journal.display())))
    }

    /// Waits until these blocks are here.
    fn wait_for(&self, blocks: Range<usize>) -> Result<()> {
        let mut state = self.state();
        loop {
            if blocks.clone().all(|b| state.parts.is_here(b)) {
                return Ok(());
            }
            if let Some(error) = &state.ended {
                return Err(error.clone());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The digest of the file, as it arrives. `None` if it is right, or nothing says what it should be.
    fn digest(&self) -> Result<Option<String>> {
        let mut digest = Digest::of(&self.metadata.etag, self.metadata.size);
        let mut buffer = vec![0; BUFFER.min(self.metadata.size as usize)];
        let blocks = self.state().parts.len();
        for block in 0..blocks {
            self.wait_for(block..block + 1)?;
            let bytes = self.state().parts.bytes(block);
            let mut at = bytes.start;
            while at < bytes.end && digest.is_known() {
                let n = buffer.len().min((bytes.end - at) as usize);
                read_exact_at(&self.file, at, &mut buffer[..n]).map_err(self.io("reading"))?;
                digest.update(&buffer[..n]);
                at += n as u64;
            }
        }
        Ok(digest.differs(&self.metadata.etag))
    }
}

/// Where a blob grows, and the journal of what of it is here.
pub(super) fn unfinished(cache: &Cache, etag: &str) -> [PathBuf; 2] {
    [".wcodec.incomplete", ".wcodec.parts"].map(|end| {
        let mut path = cache.blob(etag).into_os_string();
        path.push(end);
        path.into()
    })
}

/// Whether a server answered a request for a range with everything.
fn ignores_ranges(error: &Error) -> bool {
    matches!(
        error,
        Error::Hub {
            problem: HubProblem::Protocol,
            status: Some(200),
            ..
        }
    )
}

#[cfg(unix)]
fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (bytes, offset) = (&bytes[n..], offset + n as u64);
    }
    Ok(())
}

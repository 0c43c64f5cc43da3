//! A file on a hub as a source of bytes: each read is a range, none is kept but the file's front. What an
//! unfinished download has left in the cache is read from there.

use super::cache::Cache;
use super::download::unfinished;
use super::fetch::Target;
use super::metadata::Metadata;
use super::parts::ranges_here;
use super::spans::Spans;
use crate::container::{Source, read_exact_at};
use crate::error::Result;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// Bytes of the front that are fetched at once: prefix and index of most files.
const FRONT: u64 = 256 << 10;

/// The part of a file that an unfinished download has left.
pub(super) struct Local {
    file: File,
    path: PathBuf,
    ranges: Vec<Range<u64>>,
}

impl Local {
    /// `None` if there is nothing.
    pub(super) fn open(cache: &Cache, metadata: &Metadata, block_bytes: u64) -> Option<Self> {
        let [path, journal] = unfinished(cache, &metadata.etag);
        let file = File::open(&path).ok()?;
        if file.metadata().ok()?.len() != metadata.size {
            return None;
        }
        let ranges = ranges_here(&journal, metadata.size, block_bytes.max(1));
        (!ranges.is_empty()).then_some(Self { file, path, ranges })
    }

    /// Fills `buffer`, if all of it is here. (Its checksums are checked like those of all that arrives.)
    fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let end = offset + buffer.len() as u64;
        let holds = |range: &Range<u64>| range.start <= offset && end <= range.end;
        self.ranges.iter().any(holds) && read_exact_at(&self.file, offset, buffer).is_ok()
    }
}

/// A file on a hub.
pub(super) struct Remote {
    target: Target,
    name: String,
    local: Option<Local>,
    front: OnceLock<Vec<u8>>,
    expected: OnceLock<Spans<Gathered>>,
}

impl Remote {
    pub(super) fn new(target: Target, local: Option<Local>) -> Self {
        // Where damage may be, so that it can be removed: nothing here says which of both a read was of.
        let name = match &local {
            Some(local) => format!("{} (begun in {})", target.url(), local.path.display()),
            None => target.url().to_owned(),
        };
        Self {
            target,
            name,
            local,
            front: OnceLock::new(),
            expected: OnceLock::new(),
        }
    }

    /// The front; fetched once, and again only if that failed.
    fn front(&self) -> io::Result<&[u8]> {
        if let Some(front) = self.front.get() {
            return Ok(front);
        }
        let mut front = vec![0; FRONT.min(self.target.size()) as usize];
        self.fetch(0, &mut front)?;
        Ok(self.front.get_or_init(|| front))
    }

    /// One range, or several at a time if it is long.
    fn fetch(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.local.as_ref().is_some_and(|local| local.read(offset, buffer)) {
            return Ok(());
        }
        let options = &self.target.client().options;
        let one = |offset: u64, buffer: &mut [u8]| -> Result<()> {
            let end = offset + buffer.len() as u64;
            self.target.fetch(offset..end, &|| false, &mut |at, bytes| {
                buffer[(at - offset) as usize..][..bytes.len()].copy_from_slice(bytes);
                Ok(())
            })
        };
        let pieces = (buffer.len() as u64 / options.block_bytes.max(1)).clamp(1, options.in_flight.max(1) as u64);
        let piece = buffer.len().div_ceil(pieces as usize).max(1);
        let fetched = match buffer.len() > piece {
            false => one(offset, buffer),
            true => std::thread::scope(|scope| {
                let offsets = (offset..).step_by(piece);
                let threads: Vec<_> = buffer
                    .chunks_mut(piece)
                    .zip(offsets)
                    .map(|(part, offset)| scope.spawn(move || one(offset, part)))
                    .collect();
                let mut results = threads.into_iter().map(|t| t.join());
                results.try_for_each(|r| r.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            }),
        };
        fetched.map_err(io::Error::other)
    }

    fn check(&self, offset: u64, len: u64) -> io::Result<()> {
        match offset.checked_add(len).is_some_and(|end| end <= self.target.size()) {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "past the end")),
        }
    }

    fn gather_now(&self, range: Range<u64>) -> io::Result<Arc<Gathered>> {
        let len = usize::try_from(range.end - range.start).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // `vec!` ends the process where there is no memory: so it is asked for first.
        Vec::<u8>::new()
            .try_reserve_exact(len)
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        self.read_at(range.start, &mut bytes)?;
        Ok(Arc::new(Gathered {
            bytes,
            start: range.start,
            len: self.len(),
            name: self.name().into(),
        }))
    }
}

impl Source for Remote {
    fn len(&self) -> u64 {
        self.target.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.check(offset, buffer.len() as u64)?;
        let mut known = 0;
        if offset < FRONT {
            let front = &self.front()?[offset as usize..];
            known = front.len().min(buffer.len());
            buffer[..known].copy_from_slice(&front[..known]);
        }
        match known == buffer.len() {
            true => Ok(()),
            false => self.fetch(offset + known as u64, &mut buffer[known..]),
        }
    }

    fn gather(&self, range: Range<u64>) -> io::Result<Option<Arc<dyn Source>>> {
        self.check(range.start, range.end.saturating_sub(range.start))?;
        let front = self.front.get().map_or(0, Vec::len) as u64;
        if range.is_empty() || range.end <= front {
            return Ok(None);
        }
        let spans = self.expected.get();
        let together = spans.and_then(|spans| spans.get(&range, |span| self.gather_now(span)));
        Ok(Some(together.unwrap_or_else(|| self.gather_now(range))?))
    }

    fn expect(&self, mut ranges: Vec<Range<u64>>) {
        let front = self.front.get().map_or(0, Vec::len) as u64;
        ranges.retain(|range| range.end > front);
        let most = self.target.client().options.block_bytes;
        self.expected.get_or_init(|| Spans::new(ranges, most));
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A range of a file, in memory, at its offsets.
struct Gathered {
    bytes: Vec<u8>,
    start: u64,
    /// Of the whole file.
    len: u64,
    name: String,
}

impl Source for Gathered {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.slice(offset, buffer.len());
        buffer.copy_from_slice(bytes.ok_or_else(|| io::Error::other("outside of the range that was gathered"))?);
        Ok(())
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

//! Files that are read while they arrive.

use super::download::Download;
use super::repo::{Place, Repo};
use crate::container::{MappedFile, Source, read_exact_at};
use crate::error::{Error, Result};
use crate::progress::Progress;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A file of a repository, for reading.
pub(crate) enum Shard {
    /// In the cache.
    Here(PathBuf),
    /// On its way there. Who reads waits.
    Coming(Arc<dyn Source>),
}

/// What is on its way into the cache, on threads of its own.
pub(crate) struct Arrival(JoinHandle<Result<()>>);

impl Arrival {
    /// Waits until all of it is there.
    pub(crate) fn wait(self) -> Result<()> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Repo {
    /// Has files arrive, one after the other, but first what is read of them.
    pub(crate) fn arrive(
        &self,
        files: &[String],
        progress: Arc<dyn Progress + Send + Sync>,
    ) -> Result<(Vec<Shard>, Arrival)> {
        let (mut shards, mut downloads) = (Vec::new(), Vec::new());
        let mut etags = HashSet::new();
        for file in files {
            let metadata = match self.locate(file)? {
                Place::Here(path) => {
                    shards.push(Shard::Here(path));
                    continue;
                }
                Place::There(metadata) => metadata,
            };
            // Its blob is locked by us: we would wait for ourselves.
            if !etags.insert(metadata.etag.clone()) {
                return Err(Error::input(file, "it is the same as another file of the model"));
            }
            match self.begin(file, metadata, &*progress)? {
                Ok(download) => {
                    download.hold();
                    let download = Arc::new(download);
                    shards.push(Shard::Coming(Arc::new(Arriving::open(download.clone())?)));
                    downloads.push(download);
                }
                Err(path) => shards.push(Shard::Here(path)),
            }
        }
        let threads: Vec<_> = downloads
            .iter()
            .map(|download| {
                let (download, progress) = (download.clone(), progress.clone());
                spawn("wcodec-download", move || download.run(&*progress).map(drop))
            })
            .collect::<Result<_>>()?;
        let in_turn = spawn("wcodec-downloads", move || {
            let mut result = Ok(());
            for (download, thread) in downloads.into_iter().zip(threads) {
                download.release();
                result = result.and(Arrival(thread).wait());
            }
            result
        })?;
        Ok((shards, Arrival(in_turn)))
    }
}

fn spawn(name: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<JoinHandle<Result<()>>> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    thread.map_err(Error::io("starting a thread"))
}

/// A file that arrives.
struct Arriving {
    download: Arc<Download>,
    file: File,
    /// All of it; what has not arrived reads as zeros.
    map: Option<MappedFile>,
}

impl Arriving {
    fn open(download: Arc<Download>) -> Result<Self> {
        let path = download.partial();
        let opening = || Error::io(format!("opening {}", path.display()));
        Ok(Self {
            file: File::open(path).map_err(opening())?,
            map: MappedFile::open(path).map_err(opening())?,
            download,
        })
    }

    fn wait(&self, range: &Range<u64>) -> io::Result<()> {
        if range.end > self.len() || range.start > range.end {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "past the end"));
        }
        self.download.wait(range).map_err(io::Error::other)
    }
}

impl Source for Arriving {
    fn len(&self) -> u64 {
        self.download.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.wait(&(offset..offset.saturating_add(buffer.len() as u64)))?;
        read_exact_at(&self.file, offset, buffer)
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let bytes = self.map.as_ref()?.slice(offset, len)?;
        self.download.is_here(&(offset..offset + len as u64)).then_some(bytes)
    }

    fn gather(&self, range: Range<u64>) -> io::Result<Option<Arc<dyn Source>>> {
        self.wait(&range).map(|()| None)
    }

    fn release(&self, offset: u64, len: u64) {
        if let Some(map) = &self.map {
            map.release(offset, len);
        }
    }

    fn name(&self) -> &str {
        self.download.url()
    }
}

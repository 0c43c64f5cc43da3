//! Memory-mapped files.
#![allow(unsafe_code)]

use super::Source;
use std::fs::File;
use std::io;
use std::path::Path;

/// A file in memory whose pages can be let go of, so that they do not count as the process's memory
/// once they are used. They stay in the system's page cache.
///
/// A mapped file must not be cut while it is open: the system then ends the process on access.
pub(crate) struct MappedFile {
    map: memmap2::Mmap,
    name: String,
}

impl MappedFile {
    /// Maps a file. `None` if it cannot be mapped, as an empty or a special file.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(None);
        }
        // SAFETY: the mapping is private to this process and read-only. Another process that writes
        // to the file can change bytes under us: everything read from it is validated where it is
        // used, and chunks are copied or decoded from it only after their checksum held; a race
        // gives wrong bytes or an error, not undefined behaviour of safe code relying on it.
        let map = unsafe { memmap2::Mmap::map(&file) };
        let name = path.display().to_string();
        Ok(map.ok().map(|map| Self { map, name }))
    }

    /// All of it.
    #[cfg(feature = "safetensors")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

impl Source for MappedFile {
    fn len(&self) -> u64 {
        self.map.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.slice(offset, buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.map.get(start..start.checked_add(len)?)
    }

    #[cfg(unix)]
    fn release(&self, offset: u64, len: u64) {
        let (Ok(offset), Ok(len)) = (usize::try_from(offset), usize::try_from(len)) else {
            return;
        };
        // SAFETY: the map is read-only, so its pages hold what the file holds, and come back with
        // the same content. A refusal only costs memory.
        let _ = unsafe {
            self.map
                .unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len)
        };
    }

    fn name(&self) -> &str {
        &self.name
    }
}

//! Memory for tensors.

use crate::Source;
use crate::container::map_bytes;
use crate::error::{Error, Location, Result};
use bytemuck::Pod;
use std::io;
use std::path::Path;

/// Zeroed memory that is not touched yet: pages come as they are written to, by the threads that
/// decode.
pub(super) fn zeroed<T: Pod>(len: usize, huge_pages: bool, at: impl FnOnce() -> Location) -> Result<Vec<T>> {
    let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
    let mut out = bytemuck::try_zeroed_vec(len).map_err(|()| Error::OutOfMemory {
        at: Box::new(at()),
        bytes,
    })?;
    if huge_pages {
        ask_for_huge_pages(bytemuck::cast_slice_mut(&mut out));
    }
    Ok(out)
}

/// Has the system back large memory with huge pages, where it leaves that to programs: first use of
/// memory, page by page, else takes longer than decoding into it. A hint; refusal does no harm.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn ask_for_huge_pages(bytes: &mut [u8]) {
    const HUGE_PAGE: usize = 2 << 20;
    let start = bytes.as_mut_ptr() as usize;
    let (first, end) = (
        start.next_multiple_of(HUGE_PAGE),
        (start + bytes.len()) / HUGE_PAGE * HUGE_PAGE,
    );
    if first < end {
        // SAFETY: the range is page-aligned and lies in `bytes`, and this advice changes no content.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: &mut [u8]) {}

/// A file in memory whose pages can be let go of, so that they do not count as the process's memory
/// once they are decoded. They stay in the system's page cache.
pub(super) struct MappedFile {
    map: memmap2::Mmap,
    name: String,
}

impl MappedFile {
    /// Maps a file. `None` if it cannot be mapped.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let name = path.display().to_string();
        let map = map_bytes(path).map_err(Error::io(format!("opening {name}")))?;
        Ok(map.map(|map| Self { map, name }))
    }

    /// Lets go of a range. What reads it again reads it from the file.
    #[cfg(unix)]
    #[allow(unsafe_code)]
    pub(super) fn release(&self, offset: u64, len: u64) {
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

    #[cfg(not(unix))]
    pub(super) fn release(&self, _: u64, _: u64) {}
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

    fn name(&self) -> &str {
        &self.name
    }
}

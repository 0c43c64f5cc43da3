//! Memory for tensors.

use crate::error::{Error, Location, Result};
use bytemuck::Pod;

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

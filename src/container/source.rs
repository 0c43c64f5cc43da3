//! Anything that reads at an offset.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes that can be read at an offset: memory, a file, a memory map, HTTP ranges.
pub trait Source: Send + Sync {
    /// Bytes in all.
    fn len(&self) -> u64;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::UnexpectedEof`] past the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The bytes themselves, where they are in memory anyway.
    fn slice(&self, _offset: u64, _len: usize) -> Option<&[u8]> {
        None
    }

    /// Told that a range is about to be read in parts. A source for which parts are dear, such as HTTP,
    /// gives a source that has the range at hand (at the same offsets); one whose bytes are still to
    /// come waits for them. `None` where parts are as good as the whole.
    ///
    /// # Errors
    /// As [`Source::read_at`].
    fn gather(&self, _range: Range<u64>) -> io::Result<Option<Arc<dyn Source>>> {
        Ok(None)
    }

    /// Told which ranges will be gathered, in any order, each once or not at all: small neighbours may then
    /// come together. The first call counts.
    fn expect(&self, _ranges: Vec<Range<u64>>) {}

    /// A hint that a range has been used and can be let go of. It can still be read.
    fn release(&self, _offset: u64, _len: u64) {}

    /// What messages call it: a path, a URL.
    fn name(&self) -> &str;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn range(len: usize, offset: u64, count: usize) -> io::Result<Range<usize>> {
    let past = || io::Error::new(io::ErrorKind::UnexpectedEof, "past the end");
    let start = usize::try_from(offset).map_err(|_| past())?;
    let end = start.checked_add(count).filter(|&end| end <= len).ok_or_else(past)?;
    Ok(start..end)
}

/// Bytes in memory, under a name for messages.
pub(crate) struct BytesSource<B> {
    pub(crate) bytes: B,
    pub(crate) name: String,
}

impl<B: AsRef<[u8]> + Send + Sync> Source for BytesSource<B> {
    fn len(&self) -> u64 {
        self.bytes.as_ref().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.as_ref();
        buffer.copy_from_slice(&bytes[range(bytes.len(), offset, buffer.len())?]);
        Ok(())
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let bytes = self.bytes.as_ref();
        Some(&bytes[range(bytes.len(), offset, len).ok()?])
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A source of bytes in memory.
pub(crate) fn bytes_source(bytes: impl AsRef<[u8]> + Send + Sync + 'static, name: &str) -> Arc<dyn Source> {
    Arc::new(BytesSource {
        bytes,
        name: name.into(),
    })
}

/// A file, read at offsets.
pub struct FileSource {
    file: File,
    len: u64,
    name: String,
}

impl FileSource {
    /// Opens a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self {
            file,
            len,
            name: path.display().to_string(),
        })
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.file, offset, buffer)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Fills `buffer` from an offset of a file.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from an offset of a file.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                buffer = &mut buffer[n..];
                offset += n as u64;
            }
        }
    }
    Ok(())
}

/// Opens a file through a memory map if that is built in and works, else for reading at offsets.
pub(crate) fn open_file(path: &Path) -> io::Result<Box<dyn Source>> {
    #[cfg(feature = "mmap")]
    if let Some(source) = super::MappedFile::open(path)? {
        return Ok(Box::new(source));
    }
    Ok(Box::new(FileSource::open(path)?))
}

//! Input and output: where bytes come from and go to, not what they mean.

#[cfg(feature = "eval")]
mod lock;
#[cfg(feature = "mmap")]
mod mapped;
mod reader;
mod source;
#[cfg(feature = "encode")]
mod writer;

#[cfg(feature = "eval")]
pub(crate) use lock::{FolderLock, LOCK};
#[cfg(feature = "mmap")]
pub(crate) use mapped::MappedFile;
pub(crate) use reader::{open, out_of_memory};
#[cfg(feature = "hub")]
pub(crate) use source::read_exact_at;
pub use source::{FileSource, Source};
pub(crate) use source::{bytes_source, open_file};
#[cfg(feature = "safetensors")]
pub(crate) use writer::NewFile;
#[cfg(feature = "encode")]
pub(crate) use writer::Writer;
#[cfg(feature = "eval")]
pub(crate) use writer::rewrite_index;

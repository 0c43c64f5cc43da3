//! The one error type.

use std::{fmt, io, ops::Range, sync::Arc};

/// Result with wcodec's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by what the caller does next. The text says where, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed: look at the disk, the path, the permissions; then try again.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, to which file.
        context: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Not a wcodec file at all.
    #[error("{file}: not a .wcodec file: {what}")]
    NotWcodec {
        /// File, or a description of the source.
        file: String,
        /// What was found instead.
        what: String,
    },
    /// Written by a later major version of the format: upgrade wcodec.
    #[error("{file}: format version {major}.{minor} is newer than this wcodec reads ({supported}.x): upgrade wcodec")]
    Version {
        /// File, or a description of the source.
        file: String,
        /// Major version of the file.
        major: u16,
        /// Minor version of the file.
        minor: u16,
        /// Highest major version that is read.
        supported: u16,
    },
    /// The file is damaged, cut off, or was made to harm: download or encode it again.
    #[error("corrupt file: {at}: {what}: get the file again, or restore it from its original")]
    Corrupt {
        /// Where.
        at: Box<Location>,
        /// What does not hold.
        what: String,
    },
    /// The file asks for more than [`Limits`](crate::Limits) allow: raise the limit if it is trusted.
    #[error("limit exceeded: {at}: {what}: raise the limit if you trust the file")]
    Limit {
        /// Where.
        at: Box<Location>,
        /// Which limit, its value, and what was asked.
        what: String,
    },
    /// A tool or method that this version of wcodec does not know: upgrade wcodec.
    #[error("unsupported: {at}: {what}: a newer wcodec may read it")]
    Unsupported {
        /// Where.
        at: Box<Location>,
        /// What is not known.
        what: String,
    },
    /// No tensor of that name in the file.
    #[error("{file}: no tensor named {name:?}{hint}")]
    NoTensor {
        /// File, or a description of the source.
        file: String,
        /// The name asked for.
        name: String,
        /// A similar name, or nothing.
        hint: String,
    },
    /// The call does not fit: fix the call.
    #[error("{0}")]
    Usage(String),
    /// The input checkpoint is not valid, or not what was promised: fix the input.
    #[error("{file}: {what}")]
    Input {
        /// File, or a description of the source.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// Decoded data differ from what they were compared with.
    #[error("{at}: {what}")]
    Differs {
        /// Where.
        at: Box<Location>,
        /// What differs.
        what: String,
    },
    /// A model hub did not give what was asked of it: [`HubProblem`] says what to do.
    #[error("{url}: {what}{}", hub_details(*status, range.as_ref()))]
    Hub {
        /// What to do next, as a type.
        problem: HubProblem,
        /// What was asked for: a URL, or the file in the cache.
        url: String,
        /// Status of the last answer, if there was one.
        status: Option<u16>,
        /// Bytes of the file that were asked for, if it was a part.
        range: Option<Range<u64>>,
        /// What happened, and what to do about it.
        what: String,
    },
    /// Memory could not be had.
    #[error("{at}: no memory for {bytes} bytes: free some, or decode by rows")]
    OutOfMemory {
        /// Where.
        at: Box<Location>,
        /// What was asked of the allocator.
        bytes: u64,
    },
    /// A GPU could not do what was asked of it: [`GpuProblem`] says what to do.
    #[error("GPU: {what}")]
    Gpu {
        /// What to do next, as a type.
        problem: GpuProblem,
        /// What happened, and what to do about it.
        what: String,
    },
    /// A model could not be run: the text is Candle's or the tokenizer's.
    #[error("running the model: {0}")]
    Compute(String),
    /// The caller cancelled the work; nothing was left under the final name.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    pub(crate) fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        move |source| {
            // A source of bytes that has an error of ours to give can only give it inside one of these.
            if let Some(inner) = source.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
                return inner.clone();
            }
            Self::Io {
                context,
                source: Arc::new(source),
            }
        }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    #[cfg(any(feature = "safetensors", feature = "candle"))]
    pub(crate) fn input(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Input {
            file: file.into(),
            what: what.into(),
        }
    }

    /// Where it happened, if it happened at a place in a file.
    pub fn location(&self) -> Option<&Location> {
        match self {
            Self::Corrupt { at, .. }
            | Self::Limit { at, .. }
            | Self::Unsupported { at, .. }
            | Self::Differs { at, .. }
            | Self::OutOfMemory { at, .. } => Some(at),
            _ => None,
        }
    }
}

/// Why a hub did not give what was asked of it, by what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HubProblem {
    /// No such repository, revision or file: look at the name.
    NotFound,
    /// Private, gated, or a wrong token: set `HF_TOKEN`, accept the conditions on the model's page.
    NotAllowed,
    /// Too many requests: wait, or set `HF_TOKEN`.
    RateLimited,
    /// No connection, a server error or a broken answer, again and again: try again later. What
    /// arrived is kept.
    Unreachable,
    /// The server breaks its protocol, as one that ignores ranges: use another endpoint, or download
    /// whole files.
    Protocol,
    /// The file was changed on the server between two requests: start again.
    Changed,
    /// What arrived does not have its digest; it was thrown away: download it again.
    Digest,
    /// Network use is switched off, and the file is not in the cache: go online once.
    Offline,
}

/// Why a GPU did not do what was asked of it, by what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GpuProblem {
    /// No GPU, or no driver: decode on the CPU.
    Missing,
    /// GPU or driver is older than the kernels need: update the driver, or decode on the CPU.
    TooOld,
    /// Not enough GPU memory: free some, or decode on the CPU.
    OutOfMemory,
    /// The GPU is gone, or refuses all work after a fault: the process has to start again.
    Lost,
    /// Something else.
    Failed,
}

/// Status and range in a message.
fn hub_details(status: Option<u16>, range: Option<&Range<u64>>) -> String {
    match (status, range) {
        (None, None) => String::new(),
        (Some(status), None) => format!(" (status {status})"),
        (None, Some(r)) => format!(" (bytes {}..{})", r.start, r.end),
        (Some(status), Some(r)) => format!(" (status {status}, bytes {}..{})", r.start, r.end),
    }
}

/// A part of a `.wcodec` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Section {
    /// The 32 bytes at the start.
    Prefix,
    /// The JSON index.
    Index,
    /// The original file's header, kept as it was.
    SourceHeader,
    /// A tensor's head: chunk table and parameters.
    Head,
    /// A tensor's chunk.
    Chunk,
    /// A tensor's decoded data.
    Data,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "prefix",
            Self::Index => "index",
            Self::SourceHeader => "source header",
            Self::Head => "head",
            Self::Chunk => "chunk",
            Self::Data => "data",
        })
    }
}

/// A place in a file: which file, section, tensor, chunk and offset, as far as they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// File, or a description of the source. Empty if it is not known.
    pub file: String,
    /// Part of the file.
    pub section: Section,
    /// Name of the tensor.
    pub tensor: Option<String>,
    /// Index of the chunk within its tensor.
    pub chunk: Option<u64>,
    /// Offset in bytes from the start of the file.
    pub offset: Option<u64>,
}

impl Location {
    pub(crate) fn new(section: Section) -> Self {
        Self {
            file: String::new(),
            section,
            tensor: None,
            chunk: None,
            offset: None,
        }
    }

    pub(crate) fn file(mut self, file: impl Into<String>) -> Self {
        self.file = file.into();
        self
    }

    pub(crate) fn tensor(mut self, name: impl Into<String>) -> Self {
        self.tensor = Some(name.into());
        self
    }

    pub(crate) fn chunk(mut self, chunk: u64) -> Self {
        self.chunk = Some(chunk);
        self
    }

    pub(crate) fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(crate) fn corrupt(self, what: impl Into<String>) -> Error {
        Error::Corrupt {
            at: Box::new(self),
            what: what.into(),
        }
    }

    pub(crate) fn limit(self, what: impl Into<String>) -> Error {
        Error::Limit {
            at: Box::new(self),
            what: what.into(),
        }
    }

    pub(crate) fn unsupported(self, what: impl Into<String>) -> Error {
        Error::Unsupported {
            at: Box::new(self),
            what: what.into(),
        }
    }

    #[cfg(feature = "safetensors")]
    pub(crate) fn differs(self, what: impl Into<String>) -> Error {
        Error::Differs {
            at: Box::new(self),
            what: what.into(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        self.section.fmt(f)?;
        if let Some(tensor) = &self.tensor {
            write!(f, " of tensor {tensor:?}")?;
        }
        if let Some(chunk) = self.chunk {
            write!(f, ", chunk {chunk}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", at byte {offset}")?;
        }
        Ok(())
    }
}

/// A path as it appears in messages.
#[cfg(any(feature = "encode", feature = "candle"))]
pub(crate) fn display(path: impl Into<std::path::PathBuf>) -> String {
    path.into().display().to_string()
}

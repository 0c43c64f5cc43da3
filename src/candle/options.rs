//! How to load.

use crate::DecodeOptions;

/// How to load.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Check every checksum of the files before the first tensor is handed out. Default `true`:
    /// models may panic on a bad tensor. Every chunk is checked again when it is decoded.
    pub check: bool,
    /// Bytes of tensors to decode ahead of what the model asks for. Default 256 MiB; 0 for none.
    pub ahead_bytes: u64,
    /// Map files into memory instead of reading them. Default `true`: it spares a copy. A mapped file
    /// must not be cut while it is open. Its pages are let go of as soon as they are decoded.
    pub map: bool,
    /// Ask the system for huge pages under tensors, where it leaves that to programs (Linux with
    /// `transparent_hugepage` set to `madvise`). Default `true`: otherwise a third of the time goes
    /// into the first use of memory. In a virtual machine that hands freed memory back to its host
    /// (free page reporting), they can cost time instead, if memory was freed just before.
    pub huge_pages: bool,
    /// Where to decode what goes to a GPU. Default [`GpuDecode::Always`].
    pub gpu: GpuDecode,
    /// How to decode.
    pub decode: DecodeOptions,
}

/// Where a tensor is decoded that a `VarBuilder` on an NVIDIA GPU asks for. It says nothing without the feature
/// `cuda`: then it is the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuDecode {
    /// There; if that fails, so does the request.
    #[default]
    Always,
    /// There; if that fails, on the CPU, from where it is copied.
    OrCpu,
    /// On the CPU, from where it is copied.
    Never,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            check: true,
            ahead_bytes: 256 << 20,
            map: true,
            huge_pages: true,
            gpu: GpuDecode::default(),
            decode: DecodeOptions::default(),
        }
    }
}

impl LoadOptions {
    /// Whether to check every checksum first.
    pub fn check(mut self, check: bool) -> Self {
        self.check = check;
        self
    }

    /// With these many bytes decoded ahead.
    pub fn ahead_bytes(mut self, bytes: u64) -> Self {
        self.ahead_bytes = bytes;
        self
    }

    /// Whether to map files.
    pub fn map(mut self, map: bool) -> Self {
        self.map = map;
        self
    }

    /// Whether to ask for huge pages.
    pub fn huge_pages(mut self, huge_pages: bool) -> Self {
        self.huge_pages = huge_pages;
        self
    }

    /// Where to decode what goes to a GPU.
    pub fn gpu(mut self, gpu: GpuDecode) -> Self {
        self.gpu = gpu;
        self
    }

    /// With these options of the decoder.
    pub fn decode(mut self, decode: DecodeOptions) -> Self {
        self.decode = decode;
        self
    }
}

//! Which kernel decodes a tensor, and the shared memory that it takes.

/// Threads of a CTA at most.
pub(crate) const MAX_THREADS: u32 = 512;
/// Threads of a warp.
pub(crate) const WARP: u32 = 32;
/// The ring that a stream's words come through. Twice what a group of 256 symbols can take.
pub(crate) const RING_BYTES: u32 = 1024;
/// Symbols of a warp: the groups that a chunk's last seeds have raw bits of are at most three.
pub(crate) const SYMBOLS_BYTES: u32 = 3 * 256;
/// Coded values of a warp that decodes tiles: those of a tile, and of the step that goes past it.
pub(crate) const VALUES: u32 = 512;

/// A kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kernel {
    Raw,
    Constant,
    /// Floats of so many stored bits into ones of so many; the raw bits of all chunks' units if a kernel is
    /// made for them, else 0.
    Float(u32, u32, u32),
    /// Units of so many bits.
    Bytes(u32),
    Tiles,
}

/// Splits that have a kernel of their own: stored bits and raw bits.
const SPLITS: [(u32, u32); 5] = [(16, 6), (16, 5), (16, 9), (16, 8), (32, 22)];

impl Kernel {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let any = [(8, 8), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)];
        let any = any.map(|(stored, out)| Self::Float(stored, out, 0));
        let splits = SPLITS.map(|(bits, raw)| Self::Float(bits, bits, raw));
        let bytes = [8, 16, 32, 64].map(Self::Bytes);
        let rest = [Self::Raw, Self::Constant, Self::Tiles];
        any.into_iter().chain(splits).chain(bytes).chain(rest)
    }

    /// The kernel for floats: `raw` if the units of all chunks have as many raw bits, and the tables fit into
    /// shared memory.
    pub(crate) fn float(stored: u32, out: u32, raw: Option<u32>) -> Self {
        let split = raw.filter(|&raw| stored == out && SPLITS.contains(&(stored, raw)));
        Self::Float(stored, out, split.unwrap_or(0))
    }

    /// Its name.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Raw => "wcodec_raw".into(),
            Self::Constant => "wcodec_constant".into(),
            Self::Float(stored, out, 0) => format!("wcodec_float_{stored}_{out}"),
            Self::Float(stored, out, raw) => format!("wcodec_float_{stored}_{out}_{raw}"),
            Self::Bytes(bits) => format!("wcodec_bytes_{bits}"),
            Self::Tiles => "wcodec_tiles".into(),
        }
    }

    /// The file in `kernels/` that has it, without its extension.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Raw | Self::Constant => "plain",
            Self::Float(..) => "float",
            Self::Bytes(_) => "bytes",
            Self::Tiles => "tiles",
        }
    }

    /// Warps of a CTA.
    pub(crate) fn warps(self) -> u32 {
        match self {
            Self::Raw | Self::Constant | Self::Float(..) | Self::Bytes(8) => MAX_THREADS / WARP,
            Self::Bytes(_) | Self::Tiles => 4,
        }
    }

    /// Shared memory of a warp, besides the tables.
    pub(crate) fn warp_bytes(self) -> u32 {
        const GROUP: u32 = crate::plane::raw::GROUP as u32;
        const SEEDS: u32 = size_of::<crate::entropy::rans::Seeds>() as u32;
        match self {
            Self::Raw | Self::Constant => 0,
            Self::Float(..) => RING_BYTES + SYMBOLS_BYTES + SEEDS,
            Self::Bytes(8) => RING_BYTES + GROUP,
            Self::Bytes(bits) => RING_BYTES * (bits / 8) + GROUP * (bits / 8 + 1),
            Self::Tiles => RING_BYTES + 8 * VALUES,
        }
    }

    /// Whether it takes tables from shared memory only.
    pub(crate) fn needs_shared_tables(self) -> bool {
        matches!(self, Self::Float(_, _, raw) if raw > 0)
    }
}

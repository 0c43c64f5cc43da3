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
    /// Floats of so many bits.
    Levels(u32),
    /// Floats of so many bits.
    TiledLevels(u32),
    /// Not a method's: numbers that have been decoded become another type's.
    Convert(Conversion),
}

/// Types that Candle has not, as ones that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Conversion {
    U16ToU32,
    I8ToI16,
    /// F8_E5M2 is the upper byte of F16.
    F8E5M2ToF16,
}

impl Conversion {
    /// Bytes of a number before it.
    #[cfg(feature = "cuda")]
    pub(crate) fn stored_bytes(self) -> usize {
        match self {
            Self::U16ToU32 => 2,
            Self::I8ToI16 | Self::F8E5M2ToF16 => 1,
        }
    }
}

/// Splits that have a kernel of their own: stored bits, raw bits, mantissa bits of a token. BF16 with 2 and 3
/// mantissa bits in a token, F16 likewise, F32 with 2.
const SPLITS: [(u32, u32, u32); 5] = [(16, 6, 2), (16, 5, 3), (16, 9, 2), (16, 8, 3), (32, 22, 2)];

impl Kernel {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let any = [(8, 8), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64)];
        let any = any.map(|(stored, out)| Self::Float(stored, out, 0));
        let splits = SPLITS.map(|(bits, raw, _)| Self::Float(bits, bits, raw));
        let bytes = [8, 16, 32, 64].map(Self::Bytes);
        let rest = [
            Self::Raw,
            Self::Constant,
            Self::Tiles,
            Self::Levels(16),
            Self::Levels(32),
            Self::TiledLevels(16),
            Self::TiledLevels(32),
        ];
        let conversions = [Conversion::U16ToU32, Conversion::I8ToI16, Conversion::F8E5M2ToF16];
        let conversions = conversions.map(Self::Convert);
        any.into_iter()
            .chain(splits)
            .chain(bytes)
            .chain(rest)
            .chain(conversions)
    }

    /// The kernel for floats; `split` is the raw bits of the units of all chunks, if they have as many, and the
    /// mantissa bits of tokens.
    pub(crate) fn float(stored: u32, out: u32, split: Option<(u32, u32)>) -> Self {
        let split = split.filter(|&(raw, mantissa)| stored == out && SPLITS.contains(&(stored, raw, mantissa)));
        Self::Float(stored, out, split.map_or(0, |(raw, _)| raw))
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
            Self::Levels(bits) => format!("wcodec_levels_{bits}"),
            Self::TiledLevels(bits) => format!("wcodec_tiled_levels_{bits}"),
            Self::Convert(Conversion::U16ToU32) => "wcodec_u32_of_u16".into(),
            Self::Convert(Conversion::I8ToI16) => "wcodec_i16_of_i8".into(),
            Self::Convert(Conversion::F8E5M2ToF16) => "wcodec_f16_of_f8_e5m2".into(),
        }
    }

    /// The file in `kernels/` that has it, and what is defined for that.
    pub(crate) fn source(self) -> (&'static str, String) {
        let name = format!("KERNEL={}", self.name());
        match self {
            Self::Raw => ("raw.cu", name),
            Self::Constant => ("constant.cu", name),
            Self::Float(stored, out, raw) => {
                let split = SPLITS.iter().find(|split| (split.0, split.1) == (stored, raw));
                let (stored, out, mantissa) = (stored / 8, out / 8, split.map_or(0, |split| split.2));
                let numbers = format!("STORED_BYTES={stored} OUT_BYTES={out} RAW_BITS={raw} MANTISSA_BITS={mantissa}");
                ("float.cu", format!("{name} {numbers}"))
            }
            Self::Bytes(bits) => ("bytes.cu", format!("{name} UNIT_BYTES={}", bits / 8)),
            Self::Tiles => ("tiles.cu", format!("{name} OUT_BYTES=0")),
            Self::TiledLevels(bits) => ("tiles.cu", format!("{name} OUT_BYTES={}", bits / 8)),
            Self::Levels(bits) => ("levels.cu", format!("{name} OUT_BYTES={}", bits / 8)),
            Self::Convert(conversion) => {
                let (from, to, shift) = match conversion {
                    Conversion::U16ToU32 => ("u16", "u32", 0),
                    Conversion::I8ToI16 => ("i8", "i16", 0),
                    Conversion::F8E5M2ToF16 => ("u8", "u16", 8),
                };
                ("convert.cu", format!("{name} FROM={from} TO={to} SHIFT={shift}"))
            }
        }
    }

    /// Warps of a CTA.
    pub(crate) fn warps(self) -> u32 {
        match self {
            Self::Raw | Self::Constant | Self::Float(..) | Self::Bytes(8) | Self::Levels(_) => MAX_THREADS / WARP,
            Self::Bytes(_) | Self::Tiles | Self::TiledLevels(_) => 4,
            Self::Convert(_) => 8,
        }
    }

    /// Shared memory of a warp, besides the tables.
    pub(crate) fn warp_bytes(self) -> u32 {
        const GROUP: u32 = crate::plane::raw::GROUP as u32;
        const SEEDS: u32 = size_of::<crate::entropy::rans::Seeds>() as u32;
        match self {
            Self::Raw | Self::Constant | Self::Convert(_) => 0,
            Self::Float(..) => RING_BYTES + SYMBOLS_BYTES + SEEDS,
            Self::Bytes(8) | Self::Levels(_) => RING_BYTES + GROUP,
            Self::Bytes(bits) => RING_BYTES * (bits / 8) + GROUP * (bits / 8 + 1),
            Self::Tiles | Self::TiledLevels(_) => RING_BYTES + 8 * VALUES,
        }
    }
}

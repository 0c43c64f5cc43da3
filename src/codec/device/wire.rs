//! What host and kernels share in memory: defined once, here, and written out as C.

macro_rules! shared_structs {
    ($($(#[doc = $about:literal])* struct $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ident,)* })*) => {
        $(
            $(#[doc = $about])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, Default)]
            pub(crate) struct $name { $($(#[doc = $doc])* pub(crate) $field: $type,)* }

            impl $name {
                /// As the kernels read it.
                pub(crate) fn bytes(&self) -> Vec<u8> {
                    let mut bytes = Vec::with_capacity(size_of::<Self>());
                    $(bytes.extend(self.$field.to_le_bytes());)*
                    // What the compilers fill up with, if anything, is at the end.
                    bytes.resize(size_of::<Self>(), 0);
                    bytes
                }
            }
        )*

        /// The structs in C.
        pub(super) const STRUCTS: &str = concat!($(
            $("//", $about, "\n",)*
            "struct ", stringify!($name), " {\n",
            $($("    //", $doc, "\n",)* "    ", stringify!($type), " ", stringify!($field), ";\n",)*
            "};\n",
        )*);
    };
}

shared_structs! {
    /// A tensor, or the part of it whose chunks are decoded. Addresses are the device's; 0 for what there is not.
    struct Tensor {
        /// The payload's part; a multiple of 16.
        input: u64,
        /// Where its units go.
        output: u64,
        /// Frequency tables, `contexts << prob` entries of 4 bytes for each coded plane; a multiple of 16.
        tables: u64,
        /// Scale steps of rows, a byte each.
        rows: u64,
        /// Scale steps of columns, a byte each; a multiple of 16.
        columns: u64,
        /// Levels: factors of rows and columns, 2 bytes each, as BF16; multiples of 16.
        row_factors: u64,
        column_factors: u64,
        /// Methods bytes and levels: the context of each of 256 scale steps.
        classes: u64,
        /// Tiles: two bytes a tile.
        scratch: u64,
        /// Methods bytes and constant: a byte a plane, the lowest first: mask, or the byte; or the unit.
        values: u64,
        /// Method bytes: a byte a plane, the lowest first: its kind.
        kinds: u64,
        /// Columns of the matrix, 0 without one.
        width: u32,
        unit_bytes: u32,
        prob: u32,
        /// Tables of a plane, a power of two.
        contexts: u32,
        /// Floats: token of symbol 0, below 2^token_bits.
        base: u32,
        /// Bits of a scale step below a whole octave.
        fraction: u32,
        /// Mantissa bits in a token.
        mantissa: u32,
        /// Mantissa bits below the token.
        low: u32,
        token_bits: u32,
        widen: u32,
        /// Tiles, and the integers in them, of so many bytes.
        tile_height: u32,
        tile_width: u32,
        tiled_bytes: u32,
        order: u32,
        plain: u32,
        /// Columns of the matrix whose rows and columns have steps, 0 without one.
        step_columns: u32,
    }
    /// A chunk.
    struct Chunk {
        /// From the tensor's `input`; a multiple of 16.
        input: u64,
        /// From the tensor's `output`.
        output: u64,
        /// From the tensor's `scratch`.
        scratch: u64,
        /// Bytes of input.
        bytes: u32,
        /// As the chunk table has it.
        extra: u32,
        /// Units of output.
        units: u32,
        /// Row and column of its first unit in the matrix of steps.
        row: u32,
        column: u32,
    }
    /// What a CTA does: some chunks of one tensor.
    struct Item {
        tensor: u32,
        first: u32,
        count: u32,
    }
    /// What a warp says of a chunk that it has decoded.
    struct Report {
        /// When, in nanoseconds of the GPU's clock.
        begin: u64,
        end: u64,
        /// What is wrong with the chunk.
        status: u32,
        /// Which of the GPU's processors it was.
        processor: u32,
    }
}

impl Report {
    /// As a kernel has written it.
    pub(crate) fn of(bytes: &[u8; size_of::<Self>()]) -> Self {
        let (words, _) = bytes.as_chunks();
        let last = u64::from_le_bytes(words[2]);
        Self {
            begin: u64::from_le_bytes(words[0]),
            end: u64::from_le_bytes(words[1]),
            status: last as u32,
            processor: (last >> 32) as u32,
        }
    }
}

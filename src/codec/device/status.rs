//! What a kernel says of a chunk: in the words of the CPU's decoder.

macro_rules! statuses {
    ($($name:ident $code:literal $what:literal,)*) => {
        /// The codes in C.
        pub(super) const CODES: &str = concat!("constexpr u32 STATUS_OK = 0;\n", $("constexpr u32 STATUS_", stringify!($name), " = ", $code, ";\n",)*);

        /// What a code says is wrong with the chunk; `None` if nothing is.
        pub(crate) fn problem(code: u32) -> Option<&'static str> {
            match code {
                OK => None,
                $($code => Some($what),)*
                _ => Some("the GPU did not decode it"),
            }
        }
    };
}

/// Nothing is wrong.
pub(crate) const OK: u32 = 0;
/// What is there before a kernel has run.
pub(crate) const NOT_RUN: u32 = u32::MAX;

statuses! {
    ZEROS 1 "it leaves out more bits than the tokens leave",
    PARTS 2 "it is shorter than its parts",
    ESCAPES 3 "an escape is out of order or out of range",
    WORDS 4 "the entropy-coded words do not end where the chunk says",
    LANES 5 "an entropy coder lane does not end at its start state",
    SEEDS 6 "seeds that carry nothing are not 0",
    CODER_SEEDS 7 "the entropy coder's seeds are not 0",
    LENGTHS 8 "its plane lengths are cut off",
    SEGMENT 9 "a plane ends past its chunk",
    SEGMENTS 10 "its planes do not fill it",
    PLANE 11 "a plane is cut off",
    RAW 12 "a raw plane is not as long as its units",
    CONSTANT 13 "a constant plane has bytes",
    LENGTH 14 "its length is not that of its units",
    PREDICTOR 15 "a tile has an unknown predictor",
    TRANSFORMS 16 "a tile has transforms for more blocks than are in it",
    RAW_CUT 17 "its raw bits are cut off",
    RAW_END 18 "its raw bits do not end where they should",
}

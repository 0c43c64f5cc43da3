//! Element types.

use std::{fmt, str::FromStr};

macro_rules! dtypes {
    ($($name:ident $text:literal $bits:literal $doc:literal,)*) => {
        /// Type of a tensor's elements: all that safetensors has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types)]
        #[non_exhaustive]
        pub enum DType {
            $(#[doc = $doc] $name,)*
        }

        impl DType {
            /// Every element type.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name in safetensors headers and in the index.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Bits of an element.
            pub fn bits(self) -> usize {
                match self { $(Self::$name => $bits,)* }
            }
        }
    };
}

dtypes! {
    BOOL "BOOL" 8 "One byte, 0 or 1.",
    F4 "F4" 4 "Two to a byte: OCP MX FP4 (E2M1).",
    F6_E2M3 "F6_E2M3" 6 "Four to three bytes: OCP MX FP6.",
    F6_E3M2 "F6_E3M2" 6 "Four to three bytes: OCP MX FP6.",
    U8 "U8" 8 "Unsigned byte.",
    I8 "I8" 8 "Signed byte.",
    F8_E5M2 "F8_E5M2" 8 "FP8 with 5 exponent bits.",
    F8_E4M3 "F8_E4M3" 8 "FP8 with 4 exponent bits.",
    F8_E8M0 "F8_E8M0" 8 "A power of two: OCP MX scale.",
    F8_E4M3FNUZ "F8_E4M3FNUZ" 8 "FP8 with 4 exponent bits, no negative zero.",
    F8_E5M2FNUZ "F8_E5M2FNUZ" 8 "FP8 with 5 exponent bits, no negative zero.",
    I16 "I16" 16 "Signed 16-bit integer.",
    U16 "U16" 16 "Unsigned 16-bit integer.",
    F16 "F16" 16 "IEEE 754 half.",
    BF16 "BF16" 16 "Brain float: the top half of an F32.",
    I32 "I32" 32 "Signed 32-bit integer.",
    U32 "U32" 32 "Unsigned 32-bit integer.",
    F32 "F32" 32 "IEEE 754 single.",
    C64 "C64" 64 "Complex of two F32.",
    F64 "F64" 64 "IEEE 754 double.",
    I64 "I64" 64 "Signed 64-bit integer.",
    U64 "U64" 64 "Unsigned 64-bit integer.",
}

impl DType {
    /// Bytes of a *unit*, what the codec counts in: an element, a byte of packed elements, or a half
    /// of a complex one. 1, 2, 4 or 8.
    pub(crate) fn unit_bytes(self) -> usize {
        if self == Self::C64 { 4 } else { self.bits().div_ceil(8) }
    }

    /// Bytes of a tensor of `elements` elements. `None` if they do not fill whole bytes, or overflow.
    pub fn byte_len(self, elements: u64) -> Option<u64> {
        let bits = elements.checked_mul(self.bits() as u64)?;
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// The layout of a float: exponent and mantissa bits, under a sign.
    pub(crate) fn float_layout(self) -> Option<FloatLayout> {
        let (exponent, mantissa) = match self {
            Self::F8_E5M2 | Self::F8_E5M2FNUZ => (5, 2),
            Self::F8_E4M3 | Self::F8_E4M3FNUZ => (4, 3),
            Self::F16 => (5, 10),
            Self::BF16 => (8, 7),
            Self::F32 | Self::C64 => (8, 23),
            Self::F64 => (11, 52),
            _ => return None,
        };
        Some(FloatLayout { exponent, mantissa })
    }
}

/// Bits of a float's fields, from the top: sign, `exponent`, `mantissa`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FloatLayout {
    pub(crate) exponent: u32,
    pub(crate) mantissa: u32,
}

impl FloatLayout {
    /// Bytes of the float.
    pub(crate) fn bytes(self) -> usize {
        (1 + self.exponent + self.mantissa) as usize / 8
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|d| d.name() == name)
            .ok_or_else(|| format!("unknown dtype {name:?}"))
    }
}

//! The fixed 32 bytes at the start.

use crate::error::{Error, Location, Section};

/// The first eight bytes of a file. The high bit and both line ends show a transfer that is not
/// binary-clean, as PNG's signature does.
pub const MAGIC: [u8; 8] = *b"\x89WCDC\r\n\x1a";
/// Major version that is written, and the highest that is read.
pub const MAJOR: u16 = 1;
/// Minor version that is written.
pub const MINOR: u16 = 0;
/// Bytes of the prefix.
pub const PREFIX_BYTES: u64 = 32;

/// What the prefix says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Major version of the format.
    pub major: u16,
    /// Minor version of the format.
    pub minor: u16,
    /// Bytes of the index, which follows the prefix.
    pub index_len: u64,
    /// XXH3-64 of the index.
    pub index_checksum: u64,
}

impl Prefix {
    #[cfg(feature = "encode")]
    pub(crate) fn write(&self) -> [u8; PREFIX_BYTES as usize] {
        let mut out = [0; PREFIX_BYTES as usize];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.major.to_le_bytes());
        out[10..12].copy_from_slice(&self.minor.to_le_bytes());
        out[16..24].copy_from_slice(&self.index_len.to_le_bytes());
        out[24..].copy_from_slice(&self.index_checksum.to_le_bytes());
        out
    }

    /// Reads the prefix from the first bytes of a file.
    ///
    /// # Errors
    /// [`Error::NotWcodec`] or [`Error::Version`].
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, Error> {
        let not = |what: &str| Error::NotWcodec {
            file: file.into(),
            what: what.into(),
        };
        if bytes.get(..8) != Some(&MAGIC[..]) {
            return Err(not(if bytes.len() < 8 {
                "it is shorter than the signature"
            } else {
                "its signature is another"
            }));
        }
        let Some(fields) = bytes.get(8..PREFIX_BYTES as usize) else {
            return Err(Location::new(Section::Prefix).file(file).corrupt("the file is cut off"));
        };
        let u16_at = |i: usize| u16::from_le_bytes([fields[i], fields[i + 1]]);
        let u64_at = |i: usize| u64::from_le_bytes(std::array::from_fn(|k| fields[i + k]));
        let prefix = Self {
            major: u16_at(0),
            minor: u16_at(2),
            index_len: u64_at(8),
            index_checksum: u64_at(16),
        };
        if prefix.major > MAJOR {
            let Self { major, minor, .. } = prefix;
            return Err(Error::Version {
                file: file.into(),
                major,
                minor,
                supported: MAJOR,
            });
        }
        if prefix.major == 0 || fields[4..8] != [0; 4] {
            return Err(Location::new(Section::Prefix)
                .file(file)
                .corrupt("a reserved field is set, or the version is 0"));
        }
        Ok(prefix)
    }
}

//! What a damaged file may do: fail with a typed error that says where, or give the right data.

use super::sample::Sample;
use std::sync::Arc;
use wcodec::{Backend, DecodeOptions, Decoder, Error, Limits, Section, Source};

/// Limits for hostile files: enough for every sample.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_tensor_bytes = 8 << 20;
    limits
}

/// Bytes that are read at offsets only, as from a file that is not mapped.
pub struct Unmapped(pub Vec<u8>);

impl Source for Unmapped {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| self.0.get(at..))
            .and_then(|r| r.get(..buffer.len()));
        buffer.copy_from_slice(rest.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn name(&self) -> &str {
        "damaged"
    }
}

pub fn open(bytes: Vec<u8>, backend: Backend) -> Result<Decoder, Error> {
    Decoder::from_source(
        Arc::new(Unmapped(bytes)),
        DecodeOptions::default().backend(backend).limits(limits()),
    )
}

/// Checks that an error is one that damage may give, and says where as exactly as it can.
pub fn check_error(error: &Error) {
    let at = match error {
        Error::NotWcodec { .. } | Error::Version { .. } => return,
        Error::Corrupt { at, .. } | Error::Limit { at, .. } | Error::Unsupported { at, .. } => at,
        _ => panic!("damage gave {error:?}"),
    };
    assert_eq!(at.file, "damaged", "{error}");
    if matches!(at.section, Section::Head | Section::Chunk | Section::Data) {
        assert!(at.tensor.is_some() && at.offset.is_some(), "{error}");
    }
    assert_eq!(at.chunk.is_some(), at.section == Section::Chunk, "{error}");
}

/// Opens a file and decodes all of it with every backend; all must agree to the letter.
///
/// Gives each tensor's name and what it decodes to, with whether that has the index's digest.
#[allow(clippy::type_complexity)]
pub fn decode_all(bytes: &[u8]) -> Result<Vec<(String, Result<(Vec<u8>, bool), Error>)>, Error> {
    decode_some(bytes, |_| true)
}

#[allow(clippy::type_complexity)]
pub fn decode_some(
    bytes: &[u8],
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Result<(Vec<u8>, bool), Error>)>, Error> {
    let decoder = open(bytes.to_vec(), Backend::Scalar).inspect_err(check_error)?;
    let others: Vec<Decoder> = Backend::available()
        .filter(|&b| b != Backend::Scalar)
        .map(|b| open(bytes.to_vec(), b).expect("opening does not depend on the backend"))
        .collect();
    if let Err(error) = decoder.source_header() {
        check_error(&error);
    }
    if let Err(error) = decoder.certificate() {
        check_error(&error);
    }
    let mut results = Vec::new();
    for (i, tensor) in decoder.tensors().enumerate().filter(|(_, t)| wanted(t.info().name())) {
        let result = tensor.decode();
        for other in &others {
            let theirs = other.tensors().nth(i).expect("the same tensors").decode();
            match (&result, theirs) {
                (Ok(a), Ok(b)) => assert!(*a == b, "{} differs by {}", tensor.info().name(), other.backend()),
                (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string(), "by {}", other.backend()),
                (a, b) => panic!(
                    "{:?} but by {} {:?}",
                    a.as_ref().map(Vec::len),
                    other.backend(),
                    b.map(|b| b.len())
                ),
            }
        }
        if let Err(error) = &result {
            check_error(error);
        }
        let result = result.map(|data| {
            let right = *blake3::hash(&data).as_bytes() == tensor.info().digest();
            (data, right)
        });
        results.push((tensor.info().name().to_owned(), result));
    }
    Ok(results)
}

/// Judges a damaged sample. `sealed`: its checksums were made right again, so that only digests tell
/// wrong data from right.
pub fn judge(sample: &Sample, bytes: &[u8], sealed: bool, wanted: impl Fn(&str) -> bool) {
    let Ok(results) = decode_some(bytes, wanted) else {
        return;
    };
    for (name, result) in results {
        let Ok((data, right)) = result else { continue };
        let known = sample.tensors.iter().any(|(n, d)| (*n == name || sealed) && *d == data);
        assert!(
            known || sealed && !right,
            "{name} gave other data under checksums that hold"
        );
    }
}

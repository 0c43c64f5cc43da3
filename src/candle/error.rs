//! wcodec's errors inside Candle's.

use crate::Error;

/// Keeps the error whole, and its text: [`wcodec_error`] finds it again.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        // Candle's own wrappers print `Debug`, or keep only the text.
        Self::Io(std::io::Error::other(error)).bt()
    }
}

/// A wcodec error inside, or else Candle's text.
impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        of(&error)
    }
}

pub(super) fn of(error: &candle_core::Error) -> Error {
    match wcodec_error(error) {
        Some(inner) => inner.clone(),
        None => Error::Compute(first_line(error)),
    }
}

/// Without the backtrace that Candle may add.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// The wcodec error inside a Candle error, if there is one.
///
/// ```
/// let inner = wcodec::Error::Cancelled;
/// let outer = candle_core::Error::from(inner).context("loading");
/// assert!(matches!(wcodec::candle::wcodec_error(&outer), Some(wcodec::Error::Cancelled)));
/// ```
pub fn wcodec_error(error: &candle_core::Error) -> Option<&Error> {
    use candle_core::Error as E;
    match error {
        E::Io(io) => io.get_ref()?.downcast_ref(),
        E::WrappedContext { wrapped, .. } => match wrapped.downcast_ref::<E>() {
            Some(inner) => wcodec_error(inner),
            None => wrapped.downcast_ref(),
        },
        E::Context { inner, .. } | E::WithPath { inner, .. } | E::WithBacktrace { inner, .. } => wcodec_error(inner),
        _ => None,
    }
}

//! Building a model whose code may panic on its weights.

use super::error::of;
use crate::error::Error;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// The error that a backend has given to a model, if that was the last it gave.
#[derive(Default)]
pub(super) struct LastError(Mutex<Option<Error>>);

impl LastError {
    /// Keeps the error of a result; none after a good one: the model has got over the error before.
    pub(super) fn note<T>(&self, result: candle_core::Result<T>) -> candle_core::Result<T> {
        self.set(result.as_ref().err().map(of));
        result
    }

    fn set(&self, error: Option<Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Has `load` build a model. Where it panics, the error that it was given comes back, or else the
    /// panic's message.
    pub(super) fn build<M, E: From<Error>>(&self, load: impl FnOnce() -> Result<M, E>) -> Result<M, E> {
        self.set(None);
        catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|panic| {
            let panicked = || Error::Compute(format!("the model's code panicked: {}", message(&*panic)));
            Err(self.take().unwrap_or_else(panicked).into())
        })
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

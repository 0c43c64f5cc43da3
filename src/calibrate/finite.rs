//! Weights that are finite.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Names of tensors that have weights that are not finite, and how many.
pub(super) type Found = Arc<Mutex<BTreeMap<String, usize>>>;

/// Weights of another source, with 0 for those that are not finite: one of them would make all that comes behind it
/// useless. In F32.
struct Finite {
    inner: VarBuilder<'static>,
    found: Found,
}

/// A `VarBuilder` whose weights are finite, and where it tells of those that were not.
pub(super) fn finite(inner: VarBuilder<'static>) -> (VarBuilder<'static>, Found) {
    let (found, device) = (Found::default(), inner.device().clone());
    let backend = Finite {
        inner,
        found: found.clone(),
    };
    (VarBuilder::from_backend(Box::new(backend), DType::F32, device), found)
}

impl Finite {
    fn clean(&self, name: &str, tensor: Tensor) -> Result<Tensor> {
        // A sum that overflows only costs a closer look.
        if tensor.sum_all()?.to_scalar::<f32>()?.is_finite() {
            return Ok(tensor);
        }
        let mut values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let mut count = 0;
        for value in values.iter_mut().filter(|v| !v.is_finite()) {
            (*value, count) = (0.0, count + 1);
        }
        if count > 0 {
            let mut found = self.found.lock().unwrap_or_else(|e| e.into_inner());
            found.insert(name.to_owned(), count);
        }
        Tensor::from_vec(values, tensor.shape(), tensor.device())
    }
}

impl SimpleBackend for Finite {
    fn get(&self, shape: Shape, name: &str, hints: Init, dtype: DType, _: &Device) -> Result<Tensor> {
        self.clean(name, self.inner.get_with_hints_dtype(shape, name, hints, dtype)?)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        self.clean(name, self.inner.get_unchecked_dtype(name, dtype)?)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.inner.contains_tensor(name)
    }
}

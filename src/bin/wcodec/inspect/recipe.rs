//! Recipes in few words.

use wcodec::format::{Method, TensorInfo};

/// The method, and whether it predicts scales: what totals are taken by.
pub(super) fn family(tensor: &TensorInfo) -> String {
    let Some(recipe) = tensor.recipe() else {
        return "unknown".into();
    };
    let name = recipe.method.name();
    match recipe.method {
        Method::Float { columns, .. } | Method::Bytes { columns, .. } if columns > 0 => format!("{name}+scale"),
        _ => name.into(),
    }
}

/// The method and the parameters that tell tensors apart: not those that follow from dtype and size.
pub(super) fn short(tensor: &TensorInfo) -> String {
    let family = family(tensor);
    let Some(recipe) = tensor.recipe() else { return family };
    match recipe.method {
        Method::Float {
            stored,
            mantissa,
            columns,
            fraction,
            ..
        } => {
            let narrowed = if stored == tensor.dtype() {
                String::new()
            } else {
                format!(" as {stored}")
            };
            let steps = if columns > 0 {
                format!(" 1/{}", 1 << fraction)
            } else {
                String::new()
            };
            format!("{family}{narrowed} m{mantissa}{steps}")
        }
        Method::Levels { tables, .. } => format!("{family} t{tables}"),
        Method::Bytes { tables, .. } if tables > 1 => format!("{family} t{tables}"),
        Method::TiledLevels { shape, .. } | Method::Tiles { shape, .. } => format!("{family} {shape}"),
        _ => family,
    }
}

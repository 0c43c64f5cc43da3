//! The tensors that a configuration asks for.

use super::pass::{EMBEDDING, HEAD, weight_name};
use crate::candle::SafetensorsBackend;
use crate::eval::ModelFiles;
use crate::model::ModelConfig;
use crate::model::traced::{LINEARS, linear_sizes};
use crate::{Error, Result};
use std::collections::HashMap;

/// Names and shapes of all matrices of a model; of the head too, whether or not it is the embedding.
pub(super) fn matrices(config: &ModelConfig) -> impl Iterator<Item = (String, [usize; 2])> {
    let sizes = linear_sizes(config);
    let linears = (0..config.layers).flat_map(move |layer| {
        let of_layer = LINEARS.iter().zip(sizes);
        of_layer.map(move |((name, _), (inputs, outputs, _))| (weight_name(layer, name), [outputs, inputs]))
    });
    let end = [config.vocab, config.hidden];
    linears.chain([(EMBEDDING.to_owned(), end), (HEAD.to_owned(), end)])
}

/// Refuses weights that lack a matrix, or have one of another shape: before the model reads anything.
pub(crate) fn check(files: &ModelFiles, config: &ModelConfig) -> Result<()> {
    let file = SafetensorsBackend::open(&files.weights)?;
    let there: HashMap<String, Vec<usize>> = file.tensors().map(|(name, _, shape, _)| (name, shape)).collect();
    let tied = config.shares_embedding(there.contains_key(HEAD));
    for (name, expected) in matrices(config).filter(|(name, _)| !tied || name != HEAD) {
        let what = match there.get(&name) {
            Some(shape) if *shape == expected => continue,
            Some(shape) => format!("tensor {name:?} is {shape:?}, and config.json asks for {expected:?}"),
            None => format!("there is no tensor {name:?}, which config.json asks for"),
        };
        let what = format!("{what}: is it another model's configuration, or is a shard missing?");
        return Err(Error::input(&files.name, what));
    }
    Ok(())
}

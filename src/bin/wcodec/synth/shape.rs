//! Shapes of models of the Llama family.

/// Sizes that fix a model's tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) hidden: usize,
    pub(super) intermediate: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) vocab: usize,
    /// The output projection is the embedding.
    pub(super) tied: bool,
}

const fn shape(name: &'static str, sizes: [usize; 6], tied: bool) -> Shape {
    let [hidden, intermediate, layers, heads, kv_heads, vocab] = sizes;
    Shape {
        name,
        hidden,
        intermediate,
        layers,
        heads,
        kv_heads,
        vocab,
        tied,
    }
}

/// The named shapes, smallest first.
pub(super) const SHAPES: [Shape; 9] = [
    shape("tinyllama-15m", [288, 768, 6, 6, 6, 32_000], true),
    shape("smollm2-135m", [576, 1536, 30, 9, 3, 49_152], true),
    shape("smollm2-360m", [960, 2560, 32, 15, 5, 49_152], true),
    shape("tinyllama-1.1b", [2048, 5632, 22, 32, 4, 32_000], false),
    shape("llama-3.2-1b", [2048, 8192, 16, 32, 8, 128_256], true),
    shape("smollm2-1.7b", [2048, 8192, 24, 32, 32, 49_152], true),
    shape("llama-3.2-3b", [3072, 8192, 28, 24, 8, 128_256], true),
    shape("llama-3.1-8b", [4096, 14_336, 32, 32, 8, 128_256], false),
    shape("llama-3.1-70b", [8192, 28_672, 80, 64, 8, 128_256], false),
];

impl Shape {
    /// The shape of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        SHAPES.into_iter().find(|s| s.name == name)
    }

    /// The named shape that a checkpoint of so many parameters is made from.
    pub(super) fn near(parameters: u64) -> Self {
        let fits = |s: &&Self| s.parameters() <= parameters.saturating_mul(2);
        *SHAPES.iter().rev().find(fits).unwrap_or(&SHAPES[0])
    }

    /// Parameters of one layer.
    fn layer(&self) -> u64 {
        let (h, kv, i) = (self.hidden as u64, self.kv_width() as u64, self.intermediate as u64);
        2 * h * h + 2 * kv * h + 3 * i * h + 2 * h
    }

    /// All parameters.
    pub(super) fn parameters(&self) -> u64 {
        let tables = if self.tied { 1 } else { 2 };
        let (h, v, layers) = (self.hidden as u64, self.vocab as u64, self.layers as u64);
        tables * v * h + layers * self.layer() + h
    }

    /// Width of keys and values.
    pub(super) fn kv_width(&self) -> usize {
        self.hidden / self.heads * self.kv_heads
    }

    /// With as many layers and words as make about so many bytes; narrower where not even one layer
    /// fits. The weights of layers take `layer_bits` each, those of the vocabulary `word_bits`.
    pub(super) fn fitted(mut self, bytes: u64, layer_bits: u64, word_bits: u64) -> Self {
        let bits = bytes.saturating_mul(8);
        let layer = |s: &Self| s.layer() * layer_bits;
        let word = |s: &Self| s.hidden as u64 * if s.tied { 1 } else { 2 } * word_bits;
        while layer(&self) + word(&self) > bits && self.hidden >= 16 {
            self = Self {
                hidden: self.hidden / 2,
                intermediate: self.intermediate / 2,
                heads: 1,
                kv_heads: 1,
                ..self
            };
        }
        // A quarter for the vocabulary at most, then layers, then words from what is left.
        let (layer, word) = (layer(&self), word(&self));
        let vocab = (self.vocab as u64).min(bits / 4 / word);
        self.layers = (bits.saturating_sub(vocab * word) / layer).max(1) as usize;
        self.vocab = (bits.saturating_sub(self.layers as u64 * layer) / word).max(1) as usize;
        self
    }

    /// Why there can be no such model, if so.
    pub(super) fn problem(&self) -> Option<String> {
        let sizes = [
            self.hidden,
            self.intermediate,
            self.layers,
            self.heads,
            self.kv_heads,
            self.vocab,
        ];
        if sizes.contains(&0) {
            return Some("every size must be at least 1".into());
        }
        if sizes.iter().any(|&n| n > 1 << 24) {
            return Some("no size may be above 16777216".into());
        }
        if !self.hidden.is_multiple_of(self.heads) {
            return Some(format!(
                "--hidden {} is no multiple of --heads {}",
                self.hidden, self.heads
            ));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_shapes_have_the_published_sizes() {
        let parameters = |name| Shape::named(name).map(|s| s.parameters());
        assert_eq!(parameters("smollm2-135m"), Some(134_515_008));
        assert_eq!(parameters("llama-3.2-1b"), Some(1_235_814_400));
        assert_eq!(parameters("llama-3.1-8b"), Some(8_030_261_248));
        assert!(SHAPES.iter().all(|s| s.problem().is_none()));
    }

    #[test]
    fn fitted_shapes_have_about_the_size() {
        for parameters in [3_000, 50_000, 1_000_000, 33_000_000, 500_000_000, 9_000_000_000] {
            let shape = Shape::near(parameters).fitted(2 * parameters, 16, 16);
            let ratio = shape.parameters() as f64 / parameters as f64;
            assert!(
                (0.9..1.1).contains(&ratio) && shape.problem().is_none(),
                "{parameters}: {shape:?} is {ratio}"
            );
        }
    }
}

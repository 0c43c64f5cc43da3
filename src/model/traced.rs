//! A layer with all that calibration asks of it: the inputs of its linear layers, and gradients.
//!
//! Tokens are windows of one length, end to end: (windows * length, hidden size). Weights and states are F32.

use super::config::{Family, ModelConfig};
use super::rope::Rope;
use candle_core::{D, DType, Result, Tensor};
use candle_nn::{VarBuilder, ops};

/// Linear layers, and which of a layer's four inputs each one reads.
pub(crate) const LINEARS: [(&str, usize); 7] = [
    ("self_attn.q_proj", 0),
    ("self_attn.k_proj", 0),
    ("self_attn.v_proj", 0),
    ("self_attn.o_proj", 1),
    ("mlp.gate_proj", 2),
    ("mlp.up_proj", 2),
    ("mlp.down_proj", 3),
];

/// Inputs and outputs of a layer's linear layers, and whether they have a bias; in the order of [`LINEARS`].
pub(crate) fn linear_sizes(config: &ModelConfig) -> [(usize, usize, bool); 7] {
    let (hidden, inner, dim) = (config.hidden, config.intermediate, config.head_dim);
    let (query, key) = (config.heads * dim, config.kv_heads * dim);
    [
        (hidden, query, config.qkv_bias),
        (hidden, key, config.qkv_bias),
        (hidden, key, config.qkv_bias),
        (query, hidden, config.output_bias),
        (hidden, inner, config.mlp_bias),
        (hidden, inner, config.mlp_bias),
        (inner, hidden, config.mlp_bias),
    ]
}

struct Linear {
    /// (outputs, inputs)
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    fn load(inputs: usize, outputs: usize, bias: bool, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: vb.get((outputs, inputs), "weight")?,
            bias: if bias { Some(vb.get(outputs, "bias")?) } else { None },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }

    fn backward(&self, gradient: &Tensor) -> Result<Tensor> {
        gradient.matmul(&self.weight)
    }
}

/// A norm by the root of the mean square, over the last dimension.
pub(crate) struct Norm {
    weight: Tensor,
    eps: f64,
}

impl Norm {
    pub(crate) fn load(size: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        let weight = vb.get(size, "weight")?;
        Ok(Self { weight, eps })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32)
    }

    /// The gradient at the input `x`.
    pub(crate) fn backward(&self, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
        let inverse = (x.sqr()?.mean_keepdim(D::Minus1)? + self.eps)?.recip()?;
        let gradient = gradient.broadcast_mul(&self.weight)?;
        let along = (&gradient * x)?.mean_keepdim(D::Minus1)?;
        let away = x.broadcast_mul(&(along * &inverse)?)?;
        (gradient - away)?.broadcast_mul(&inverse.sqrt()?)
    }
}

/// How tokens lie.
pub(crate) struct Windows {
    pub(crate) count: usize,
    pub(crate) length: usize,
    /// (length, length): 0 or minus infinity; for layers with and without a sliding window.
    masks: [Tensor; 2],
    rope: Rope,
    back: Rope,
}

impl Windows {
    /// Windows of a model: `frequencies` are those of its rotary positions.
    pub(crate) fn new(config: &ModelConfig, frequencies: &Tensor, count: usize, length: usize) -> Result<Self> {
        let device = frequencies.device();
        let reach = config.sliding.as_ref().map_or(length, |sliding| sliding.tokens);
        let mask = |reach: usize| {
            let sees = |row: usize, column: usize| column <= row && row - column < reach;
            let all = (0..length * length).map(|at| (at / length, at % length));
            let values: Vec<f32> = all
                .map(|(r, c)| if sees(r, c) { 0. } else { f32::NEG_INFINITY })
                .collect();
            Tensor::from_vec(values, (length, length), device)
        };
        let positions: Vec<u32> = (0..count).flat_map(|_| 0..length as u32).collect();
        let rope = Rope::new(frequencies, &positions, DType::F32, device)?;
        let back = Rope {
            cos: rope.cos.clone(),
            sin: rope.sin.neg()?,
        };
        Ok(Self {
            count,
            length,
            masks: [mask(length)?, mask(reach)?],
            rope,
            back,
        })
    }
}

/// A layer's weights.
pub(crate) struct TracedLayer {
    norms: [Norm; 2],
    linears: Vec<Linear>,
    head_norms: Option<[Norm; 2]>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    windowed: bool,
}

/// What a forward pass leaves for statistics and the backward pass.
pub(crate) struct Trace {
    /// Of the linear layers, by the number in [`LINEARS`].
    pub(crate) inputs: [Tensor; 4],
    x: Tensor,
    middle: Tensor,
    /// Queries and keys before their norms: (tokens, heads, head size).
    unnormed: [Tensor; 2],
    /// (windows * key-value heads, .., head size)
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    weights: Tensor,
    gate: Tensor,
    up: Tensor,
}

impl TracedLayer {
    pub(crate) fn load(config: &ModelConfig, layer: usize, vb: VarBuilder) -> Result<Self> {
        let (hidden, dim) = (config.hidden, config.head_dim);
        let linear = |((name, _), (inputs, outputs, bias)): (&(&str, usize), (usize, usize, bool))| {
            Linear::load(inputs, outputs, bias, vb.pp(name))
        };
        let norm = |size: usize, name: &str| Norm::load(size, config.norm_eps, vb.pp(name));
        Ok(Self {
            norms: [
                norm(hidden, "input_layernorm")?,
                norm(hidden, "post_attention_layernorm")?,
            ],
            linears: LINEARS
                .iter()
                .zip(linear_sizes(config))
                .map(linear)
                .collect::<Result<_>>()?,
            head_norms: match config.family {
                Family::Qwen3 => Some([norm(dim, "self_attn.q_norm")?, norm(dim, "self_attn.k_norm")?]),
                _ => None,
            },
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: dim,
            windowed: config.window(layer).is_some(),
        })
    }

    /// The layer's output, and what it leaves.
    pub(crate) fn forward(&self, x: &Tensor, windows: &Windows) -> Result<(Tensor, Trace)> {
        let tokens = x.dim(0)?;
        let input = self.norms[0].forward(x)?;
        let project = |i: usize, heads: usize| self.linears[i].forward(&input)?.reshape((tokens, heads, self.head_dim));
        let unnormed = [project(0, self.heads)?, project(1, self.kv_heads)?];
        let turned = |i: usize| match &self.head_norms {
            Some(norms) => windows.rope.turn(&norms[i].forward(&unnormed[i])?),
            None => windows.rope.turn(&unnormed[i]),
        };
        let queries = self.by_head(&turned(0)?, windows)?;
        let keys = self.by_head(&turned(1)?, windows)?;
        let values = self.by_head(&project(2, self.kv_heads)?, windows)?;
        let scores = (queries.matmul(&keys.t()?)? * self.scale())?;
        let mask = &windows.masks[usize::from(self.windowed)];
        let (count, length) = (windows.count, windows.length);
        let scores = scores
            .reshape((count * self.heads, length, length))?
            .broadcast_add(mask)?;
        let weights = ops::softmax_last_dim(&scores)?;
        let weights = weights.reshape((count * self.kv_heads, (), length))?;
        let mixed = self.by_token(&weights.matmul(&values)?, self.heads, windows)?;
        let mixed = mixed.flatten_from(1)?;
        let middle = (self.linears[3].forward(&mixed)? + x)?;
        let normed = self.norms[1].forward(&middle)?;
        let (gate, up) = (self.linears[4].forward(&normed)?, self.linears[5].forward(&normed)?);
        let inner = (gate.silu()? * &up)?;
        let out = (self.linears[6].forward(&inner)? + &middle)?;
        let trace = Trace {
            inputs: [input, mixed, normed, inner],
            x: x.clone(),
            middle,
            unnormed,
            queries,
            keys,
            values,
            weights,
            gate,
            up,
        };
        Ok((out, trace))
    }

    /// From the gradient at the layer's output to that at its input, and those at the outputs of its linear
    /// layers, in the order of [`LINEARS`].
    pub(crate) fn backward(&self, trace: &Trace, out: &Tensor, windows: &Windows) -> Result<(Tensor, [Tensor; 7])> {
        let inner = self.linears[6].backward(out)?;
        let sigmoid = ops::sigmoid(&trace.gate)?;
        // silu'(a) = s + a s (1 - s)
        let slope = (&sigmoid + (&trace.gate * &sigmoid)?.mul(&(1.0 - &sigmoid)?)?)?;
        let gate = (&inner * &trace.up)?.mul(&slope)?;
        let up = (inner * (&trace.gate * &sigmoid)?)?;
        let normed = (self.linears[4].backward(&gate)? + self.linears[5].backward(&up)?)?;
        let middle = (self.norms[1].backward(&trace.middle, &normed)? + out)?;

        let mixed = self.linears[3].backward(&middle)?;
        let tokens = mixed.dim(0)?;
        let mixed = self.by_head(&mixed.reshape((tokens, self.heads, self.head_dim))?, windows)?;
        let values = trace.weights.t()?.matmul(&mixed)?;
        let weights = mixed.matmul(&trace.values.t()?)?;
        let along = (&weights * &trace.weights)?.sum_keepdim(D::Minus1)?;
        let scores = (weights.broadcast_sub(&along)? * &trace.weights)?;
        let queries = (scores.matmul(&trace.keys)? * self.scale())?;
        let keys = (scores.t()?.matmul(&trace.queries)? * self.scale())?;
        let unturned = |i: usize, gradient: &Tensor, heads: usize| -> Result<Tensor> {
            let gradient = windows.back.turn(&self.by_token(gradient, heads, windows)?)?;
            let gradient = match &self.head_norms {
                Some(norms) => norms[i].backward(&trace.unnormed[i], &gradient)?,
                None => gradient,
            };
            gradient.flatten_from(1)
        };
        let queries = unturned(0, &queries, self.heads)?;
        let keys = unturned(1, &keys, self.kv_heads)?;
        let values = self.by_token(&values, self.kv_heads, windows)?.flatten_from(1)?;
        let input = (self.linears[0].backward(&queries)? + self.linears[1].backward(&keys)?)?;
        let input = (input + self.linears[2].backward(&values)?)?;
        let x = (self.norms[0].backward(&trace.x, &input)? + &middle)?;
        Ok((x, [queries, keys, values, middle, gate, up, out.clone()]))
    }

    fn scale(&self) -> f64 {
        1.0 / (self.head_dim as f64).sqrt()
    }

    /// (tokens, heads, head size) to (windows * key-value heads, rows, head size): the rows of the query
    /// heads of a key-value head lie one after the other.
    fn by_head(&self, x: &Tensor, windows: &Windows) -> Result<Tensor> {
        let heads = x.dim(1)?;
        let x = x.reshape((windows.count, windows.length, heads, self.head_dim))?;
        let x = x.transpose(1, 2)?.contiguous()?;
        x.reshape((windows.count * self.kv_heads, (), self.head_dim))
    }

    fn by_token(&self, x: &Tensor, heads: usize, windows: &Windows) -> Result<Tensor> {
        let x = x.reshape((windows.count, heads, windows.length, self.head_dim))?;
        let x = x.transpose(1, 2)?.contiguous()?;
        x.reshape(((), heads, self.head_dim))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CausalModel, Tree, frequencies};
    use super::*;
    use crate::candle::model_tensors;
    use candle_core::Device;
    use serde_json::{Value, json};
    use std::collections::HashMap;

    type Weights = HashMap<String, Tensor>;

    fn config(architecture: &str) -> Value {
        json!({
            "model_type": architecture.trim_end_matches("ForCausalLM").to_lowercase(), "vocab_size": 50, "hidden_size": 32, "intermediate_size": 40,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
            "rms_norm_eps": 1e-5, "rope_theta": 100.0, "max_position_embeddings": 64, "sliding_window": 4,
            "attention_bias": architecture == "LlamaForCausalLM", "mlp_bias": true,
        })
    }

    fn random(state: &mut u64) -> f32 {
        *state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (*state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    }

    fn tensor(shape: &[usize], base: f32, state: &mut u64) -> Tensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| base + random(state)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn weights(config: &Value, state: &mut u64) -> Weights {
        let mut expected: Vec<_> = model_tensors(config.to_string().as_bytes())
            .unwrap()
            .into_iter()
            .collect();
        expected.sort();
        if config["attention_bias"] == true {
            // Candle's own Llama has no biases; ours does.
            let biases = expected.clone().into_iter().filter_map(|(name, shape)| {
                let linear = name.strip_suffix("proj.weight")?;
                Some((format!("{linear}proj.bias"), vec![shape[0]]))
            });
            expected.extend(biases.collect::<Vec<_>>());
        }
        let base = |name: &str| if name.contains("norm") { 1.0 } else { 0.0 };
        let tensors = expected.into_iter().map(|(name, shape)| {
            let values = tensor(&shape, base(&name), state);
            (name, values)
        });
        tensors.collect()
    }

    fn builder(weights: &Weights) -> VarBuilder<'static> {
        VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu)
    }

    fn layer(config: &ModelConfig, weights: &Weights, layer: usize) -> TracedLayer {
        TracedLayer::load(config, layer, builder(weights).pp(format!("model.layers.{layer}"))).unwrap()
    }

    fn sum(tensor: &Tensor) -> f64 {
        f64::from(tensor.sum_all().unwrap().to_scalar::<f32>().unwrap())
    }

    const ARCHITECTURES: [&str; 4] = [
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
    ];

    #[test]
    fn states_are_the_models() {
        for architecture in ARCHITECTURES {
            let json = config(architecture);
            let weights = weights(&json, &mut 1);
            let config = ModelConfig::parse(json.to_string().as_bytes(), "config").unwrap();
            let tokens: Vec<u32> = (0..18).map(|i| i * 7 % 50).collect();
            let trees: Vec<Tree> = tokens.chunks(9).map(|t| Tree::sequence(t.to_vec())).collect();
            let model = CausalModel::load(config.clone(), builder(&weights)).unwrap();
            let expected = model.states(&trees).unwrap();
            let all = Tensor::new(frequencies(&config), &Device::Cpu).unwrap();
            let windows = Windows::new(&config, &all, 2, 9).unwrap();
            let ids = Tensor::new(&tokens[..], &Device::Cpu).unwrap();
            let mut x = weights["model.embed_tokens.weight"].index_select(&ids, 0).unwrap();
            for i in 0..config.layers {
                x = layer(&config, &weights, i).forward(&x, &windows).unwrap().0;
            }
            let norm = Norm::load(config.hidden, config.norm_eps, builder(&weights).pp("model.norm")).unwrap();
            let off = (norm.forward(&x).unwrap() - expected).unwrap().abs().unwrap();
            let most = off.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(most < 1e-4, "{architecture}: {most}");
        }
    }

    /// Gradients against differences, at the input and, through their biases, at the outputs of the linear layers.
    #[test]
    fn gradients_are_slopes() {
        for architecture in ARCHITECTURES {
            let state = &mut 5;
            let json = config(architecture);
            let mut weights = weights(&json, state);
            let config = ModelConfig::parse(json.to_string().as_bytes(), "config").unwrap();
            let all = Tensor::new(frequencies(&config), &Device::Cpu).unwrap();
            let windows = Windows::new(&config, &all, 2, 6).unwrap();
            let (x, out) = (tensor(&[12, 32], 0.0, state), tensor(&[12, 32], 0.0, state));
            let loss = |weights: &Weights, x: &Tensor| {
                let (y, _) = layer(&config, weights, 0).forward(x, &windows).unwrap();
                sum(&(y * &out).unwrap())
            };
            let traced = layer(&config, &weights, 0);
            let (_, trace) = traced.forward(&x, &windows).unwrap();
            let (at_input, at_outputs) = traced.backward(&trace, &out, &windows).unwrap();
            const STEP: f64 = 1e-2;
            let close = |slope: f64, expected: f64, what: &str| {
                let off = (slope - expected).abs() / expected.abs().max(0.5);
                assert!(off < 0.02, "{architecture} {what}: {slope} {expected}");
            };
            let way = tensor(&[12, 32], 0.0, state);
            let moved = |by: f64| loss(&weights, &(&x + (&way * by).unwrap()).unwrap());
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            close(sum(&(at_input * way).unwrap()), slope, "input");
            for ((name, _), gradient) in LINEARS.iter().zip(at_outputs) {
                let name = format!("model.layers.0.{name}.bias");
                let Some(bias) = weights.get(&name).cloned() else {
                    continue;
                };
                let way = tensor(bias.dims(), 0.0, state);
                let mut moved = |by: f64| {
                    weights.insert(name.clone(), (&bias + (&way * by).unwrap()).unwrap());
                    loss(&weights, &x)
                };
                let slope = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                weights.insert(name.clone(), bias.clone());
                close(sum(&gradient.broadcast_mul(&way).unwrap()), slope, &name);
            }
        }
    }
}

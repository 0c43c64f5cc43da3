//! A model folder: shards, their index, a config.

use super::plan::Plan;
use super::shape::Shape;
use super::write;
use crate::failure::Failure;
use serde_json::{Map, Value, json};
use std::path::Path;
use wcodec::Progress;

/// Writes the tensors as so many files into a folder, with what a loader needs beside them.
pub(super) fn write(
    folder: &Path,
    plans: &[Plan],
    shape: Option<&Shape>,
    shards: usize,
    seed: u64,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::io(format!("creating {}", folder.display())))?;
    let bytes: u64 = plans.iter().map(Plan::byte_len).sum();
    let mut map = Map::new();
    for (shard, plans) in split(plans, shards).into_iter().enumerate() {
        let file = format!("model-{:05}-of-{shards:05}.safetensors", shard + 1);
        write::write(&folder.join(&file), plans, seed, progress)?;
        map.extend(plans.iter().map(|plan| (plan.name.clone(), file.as_str().into())));
    }
    let index = json!({ "metadata": { "total_size": bytes }, "weight_map": map });
    write_json(&folder.join("model.safetensors.index.json"), &index)?;
    match shape {
        Some(shape) => write_json(&folder.join("config.json"), &config(shape)),
        None => Ok(()),
    }
}

/// Tensors for each shard: each ends where its share of the bytes does.
fn split(plans: &[Plan], shards: usize) -> Vec<&[Plan]> {
    let bytes: u64 = plans.iter().map(Plan::byte_len).sum();
    let (mut parts, mut rest, mut done) = (Vec::new(), plans, 0);
    for shard in 1..=shards as u64 {
        let share = (u128::from(bytes) * u128::from(shard) / shards as u128) as u64;
        let mut n = 0;
        while let Some(plan) = rest.get(n)
            // Of a tensor across the border the larger part decides.
            && (done + plan.byte_len() / 2 <= share || shard == shards as u64)
        {
            done += plan.byte_len();
            n += 1;
        }
        let (now, later) = rest.split_at(n);
        parts.push(now);
        rest = later;
    }
    parts
}

fn config(shape: &Shape) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": 2,
    })
}

fn write_json(path: &Path, value: &Value) -> Result<(), Failure> {
    std::fs::write(path, format!("{value:#}\n")).map_err(Failure::io(format!("writing {}", path.display())))
}

//! The forward pass against candle-transformers' own models.

use super::transformers::{self, config};
use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::VarBuilder;
use serde_json::{Value, json};
use std::collections::HashMap;
use wcodec::candle::model_tensors;
use wcodec::model::{CausalModel, ModelConfig, Tree};

const CPU: Device = Device::Cpu;
const TOKENS: [u32; 9] = [1, 95, 2, 40, 40, 7, 63, 0, 12];

/// Random weights, large enough that attention is not flat.
fn weights(config: &Value) -> HashMap<String, Tensor> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let expected = model_tensors(config.to_string().as_bytes()).unwrap();
    let tensors = expected.into_iter().map(|(name, shape)| {
        let base = if name.contains("norm") { 1. } else { 0. };
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| base + uniform()).collect();
        (name, Tensor::from_vec(data, shape, &CPU).unwrap())
    });
    tensors.collect()
}

fn builder(weights: &HashMap<String, Tensor>) -> VarBuilder<'static> {
    VarBuilder::from_tensors(weights.clone(), DType::F32, &CPU)
}

fn theirs(config: &Value, vb: VarBuilder<'static>, tokens: &[u32]) -> Vec<f32> {
    let logits = transformers::logits(config, vb, tokens);
    logits.flatten_all().unwrap().to_vec1().unwrap()
}

fn model(config: &Value, weights: &HashMap<String, Tensor>) -> CausalModel {
    let config = ModelConfig::parse(config.to_string().as_bytes(), "config.json").unwrap();
    CausalModel::load(config, builder(weights)).unwrap()
}

/// Logits of all rows.
fn ours(model: &CausalModel, trees: &[Tree]) -> Tensor {
    model.logits(&model.states(trees).unwrap()).unwrap()
}

fn row(logits: &Tensor, row: usize) -> Vec<f32> {
    logits.i(row).unwrap().to_vec1().unwrap()
}

/// The largest difference, as a part of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / largest
}

/// Every position's logits are the last ones of Candle's model on the text so far.
fn check(config: &Value) {
    let weights = weights(config);
    let model = model(config, &weights);
    let logits = ours(&model, &[Tree::sequence(TOKENS.to_vec())]);
    let mut worst = 0f32;
    for end in 1..=TOKENS.len() {
        let expected = theirs(config, builder(&weights), &TOKENS[..end]);
        worst = worst.max(difference(&row(&logits, end - 1), &expected));
    }
    println!("{} {worst:e}", config["model_type"]);
    // Matrix products of other heights may add in another order.
    assert!(worst < 1e-5, "{config}: {worst}");
}

#[test]
fn every_family_agrees_with_candle_transformers() {
    for tied in [false, true] {
        check(&config(3, "llama", tied));
        check(&config(3, "qwen2", tied));
        check(&config(3, "qwen3", tied));
    }
    check(&config(3, "mistral", false));
}

#[test]
fn llama_3_positions_agree() {
    let mut scaled = config(3, "llama", true);
    scaled["rope_theta"] = 500.into();
    // Some of the eight frequencies are kept, some are between, some are divided.
    scaled["rope_scaling"] = json!({
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256, "rope_type": "llama3",
    });
    check(&scaled);
    let plain = ours(
        &model(&config(3, "llama", true), &weights(&scaled)),
        &[Tree::sequence(TOKENS.to_vec())],
    );
    let bent = ours(&model(&scaled, &weights(&scaled)), &[Tree::sequence(TOKENS.to_vec())]);
    assert!(difference(&row(&plain, 8), &row(&bent, 8)) > 1e-3);
}

#[test]
fn the_last_logits_of_a_whole_sequence_are_llamas_bit_for_bit() {
    let config = config(3, "llama", false);
    let weights = weights(&config);
    let model = model(&config, &weights);
    let states = model.states(&[Tree::sequence(TOKENS.to_vec())]).unwrap();
    // One row through the head, as Candle's model takes it.
    let last = model.logits(&states.i(TOKENS.len() - 1..).unwrap()).unwrap();
    let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(row(&last, 0)), bits(theirs(&config, builder(&weights), &TOKENS)));
}

#[test]
fn branches_and_batches_are_as_if_alone() {
    for (kind, window) in [("llama", None), ("qwen3", None), ("mistral", Some(3))] {
        let mut config = config(3, kind, false);
        if let Some(window) = window {
            config["sliding_window"] = window.into();
        }
        let model = model(&config, &weights(&config));
        let texts = [vec![5, 6, 7, 8, 9], vec![5, 6, 7, 1], vec![5, 6, 7, 30, 31, 32, 33]];
        let tree = Tree::of(&texts);
        let other = Tree::sequence(TOKENS.to_vec());
        let logits = ours(&model, &[other.clone(), tree.clone()]);
        for (branch, text) in texts.iter().enumerate() {
            let alone = ours(&model, &[Tree::sequence(text.clone())]);
            for place in 0..text.len() {
                let together = row(&logits, other.rows() + tree.row(branch, place));
                assert!(difference(&together, &row(&alone, place)) < 1e-5, "{kind}");
            }
        }
    }
}

#[test]
fn layers_have_the_windows_that_are_named() {
    for kind in ["qwen2", "qwen3"] {
        let mut config = config(3, kind, false);
        let weights = weights(&config);
        let last = |config: &Value| row(&ours(&model(config, &weights), &[Tree::sequence(TOKENS.to_vec())]), 8);
        let full = last(&config);
        (config["use_sliding_window"], config["sliding_window"]) = (true.into(), 3.into());
        assert_eq!(last(&config), full, "max_window_layers is 3");
        // What is named wins.
        config["layer_types"] = json!(["sliding_attention", "full_attention", "full_attention"]);
        let first = last(&config);
        assert!(difference(&first, &full) > 1e-3, "{kind}");
        config["layer_types"] = json!(vec!["sliding_attention"; 3]);
        let all = last(&config);
        assert!(difference(&all, &first) > 1e-3, "{kind}");
        config.as_object_mut().unwrap().remove("layer_types");
        config["max_window_layers"] = 0.into();
        assert_eq!(last(&config), all);
        // Absent, it is 28.
        config.as_object_mut().unwrap().remove("max_window_layers");
        assert_eq!(last(&config), full);
    }
}

#[test]
fn a_head_that_is_said_to_be_there_is_needed() {
    let mut config = config(3, "llama", true);
    let weights = weights(&config);
    let load = |config: &Value| {
        let config = ModelConfig::parse(config.to_string().as_bytes(), "config.json").unwrap();
        CausalModel::load(config, builder(&weights)).map(drop)
    };
    load(&config).unwrap();
    config["tie_word_embeddings"] = false.into();
    let message = load(&config).unwrap_err().to_string();
    assert!(
        message.contains("lm_head.weight") && message.contains("tie_word_embeddings"),
        "{message}"
    );
    config.as_object_mut().unwrap().remove("tie_word_embeddings");
    load(&config).unwrap();
}

#[test]
fn wrong_configurations_and_inputs_are_refused() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut config = config(3, "llama", false);
        change(&mut config);
        ModelConfig::parse(config.to_string().as_bytes(), "here/config.json").unwrap_err()
    };
    let other = wrong(&|c| c["architectures"] = json!(["GPT2LMHeadModel"])).to_string();
    assert!(
        other.starts_with("here/config.json: ") && other.contains("GPT2LMHeadModel"),
        "{other}"
    );
    for known in [
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
    ] {
        assert!(other.contains(known));
    }
    assert!(
        wrong(&|c| c["num_key_value_heads"] = 3.into())
            .to_string()
            .contains("heads")
    );
    assert!(wrong(&|c| c["hidden_act"] = "gelu".into()).to_string().contains("gelu"));
    assert!(
        wrong(&|c| c["rope_scaling"] = json!({"rope_type": "yarn"}))
            .to_string()
            .contains("yarn")
    );
    assert!(
        wrong(&|c| c["num_attention_heads"] = 0.into())
            .to_string()
            .contains("num_attention_heads")
    );
    for (field, value) in [
        ("head_dim", 1u64 << 62),
        ("head_dim", 0),
        ("num_hidden_layers", 1 << 40),
        ("num_hidden_layers", 0),
    ] {
        let message = wrong(&|c| c[field] = value.into()).to_string();
        assert!(message.contains(&format!("{field} is {value}")), "{message}");
    }
    let quantised = wrong(&|c| c["quantization_config"] = json!({"quant_method": "fp8"})).to_string();
    assert!(
        quantised.contains("quantization_config names the method \"fp8\"") && quantised.contains("convert"),
        "{quantised}"
    );
    assert!(wrong(&|c| c["vocab_size"] = Value::Null).to_string().contains("usize"));

    let config = config(3, "llama", false);
    let model = model(&config, &weights(&config));
    let refused = |tokens| model.states(&[Tree::sequence(tokens)]).unwrap_err().to_string();
    assert!(refused(vec![96]).contains("token 96 is outside the vocabulary of 96"));
    assert!(refused(vec![1; 65]).contains("65 tokens"));
    assert!(refused(vec![]).contains("no tokens"));
}

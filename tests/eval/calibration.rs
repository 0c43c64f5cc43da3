//! Calibration of models and on texts that are not as they should be.

use super::{changed, file, folder, kjv, models};
use candle_core::{Device, Tensor};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;
use wcodec::calibrate::{self, Calibration};
use wcodec::checkpoint::{self, Lossy};
use wcodec::eval::{TextOptions, measure_text};
use wcodec::{DecodeOptions, Decoder, EncodeOptions, Progress};

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn warn(&self, message: &str) {
        self.0.lock().unwrap().push(message.into());
    }
}

fn calibration(folder: &TempDir) -> Calibration {
    let mut calibration = Calibration::new([file(folder, "genesis.txt", super::TEXT)]);
    calibration.window = 32;
    calibration
}

/// Quantises a model of this project's shape; gives the file and the warnings.
fn encode(model: &Path, calibration: &Calibration) -> wcodec::Result<(PathBuf, Vec<String>)> {
    for name in ["config.json", "tokenizer.json"] {
        let beside = model.with_file_name(name);
        if !beside.exists() {
            fs::copy(kjv().join(name), beside).unwrap();
        }
    }
    let (to, warnings) = (model.with_extension("wcodec"), Warnings::default());
    let options = EncodeOptions::lossless();
    calibrate::encode(model, &to, &options, &Lossy::bits(5.0), calibration, [&(), &warnings])?;
    checkpoint::verify(&to, None, DecodeOptions::default(), &())?;
    Ok((to, warnings.0.into_inner().unwrap()))
}

/// Whether a tensor lost something.
fn quantised(file: &Path, name: &str) -> bool {
    Decoder::open(file)
        .unwrap()
        .index()
        .tensor(name)
        .unwrap()
        .noise()
        .is_some()
}

fn divergence(file: &Path, reference: &Path) -> f64 {
    let mut options = TextOptions::default();
    options.window = 64;
    let text = measure_text(&models(reference, file), &super::text(), &options, &()).unwrap();
    text.divergence.mean.mean
}

/// The same values but for those at some places.
fn with(tensor: &Tensor, value: f32, places: &[usize]) -> Tensor {
    let mut values = tensor.flatten_all().unwrap().to_dtype(candle_core::DType::F32).unwrap();
    let mut new = values.to_vec1::<f32>().unwrap();
    places.iter().for_each(|&place| new[place] = value);
    values = Tensor::from_vec(new, tensor.shape(), &Device::Cpu).unwrap();
    values.to_dtype(tensor.dtype()).unwrap()
}

#[test]
fn weights_that_are_not_finite_are_kept() {
    let folder = folder();
    let name = "model.layers.2.mlp.up_proj.weight";
    for value in [f32::NAN, f32::INFINITY] {
        let model = changed(&folder, name, |old| with(old, value, &[7, 1000]));
        let (to, warnings) = encode(&model, &calibration(&folder)).unwrap();
        assert!(!quantised(&to, name) && quantised(&to, "model.layers.2.mlp.gate_proj.weight"));
        let said = |what: &str| warnings.iter().any(|w| w.starts_with(name) && w.contains(what));
        assert!(
            said("2 weights are not finite") && said("every bit of it is kept"),
            "{warnings:?}"
        );
        let plain = folder.path().join("plain.wcodec");
        let found = Warnings::default();
        checkpoint::encode_lossy(&model, &plain, &EncodeOptions::lossless(), &Lossy::bits(5.0), &found).unwrap();
        assert!(!quantised(&plain, name) && found.0.into_inner().unwrap()[0].contains(name));
    }
}

#[test]
fn outputs_that_are_not_finite_are_an_error() {
    let folder = folder();
    let model = changed(&folder, "model.layers.3.mlp.down_proj.weight", |old| {
        with(old, 3e38, &(0..old.elem_count()).collect::<Vec<_>>())
    });
    for gradients in [true, false] {
        let mut calibration = calibration(&folder);
        calibration.gradients = gradients;
        let error = encode(&model, &calibration).unwrap_err().to_string();
        assert!(
            error.contains("model.layers.3") && error.contains("not finite"),
            "{error}"
        );
        assert!(!folder.path().join("changed.wcodec").exists());
    }
}

#[test]
fn what_the_text_does_not_reach_is_quantised_without_it() {
    let folder = folder();
    // A gate of 0 is silu(0) = 0: the layer behind never sees anything else, and the one beside feels nothing.
    let model = changed(&folder, "model.layers.4.mlp.gate_proj.weight", |old| {
        old.zeros_like().unwrap()
    });
    let mut tensors = candle_core::safetensors::load(&model, &Device::Cpu).unwrap();
    let down = tensors["model.layers.1.mlp.down_proj.weight"].clone();
    let expert = "model.layers.1.mlp.experts.3.down_proj.weight";
    tensors.insert(expert.into(), down);
    // An input column that is always 0.
    let norm = tensors["model.layers.0.input_layernorm.weight"].clone();
    tensors.insert("model.layers.0.input_layernorm.weight".into(), with(&norm, 0.0, &[5]));
    let model = folder.path().join("odd.safetensors");
    candle_core::safetensors::save(&tensors, &model).unwrap();
    let (to, warnings) = encode(&model, &calibration(&folder)).unwrap();
    let said = |start: &str, what: &str| warnings.iter().any(|w| w.starts_with(start) && w.contains(what));
    assert!(
        said("model.layers.4: the inputs of its MLP's output", "all 0"),
        "{warnings:?}"
    );
    let decoder = Decoder::open(&to).unwrap();
    for name in [
        expert,
        "model.layers.4.mlp.down_proj.weight",
        "model.layers.4.mlp.up_proj.weight",
    ] {
        assert!(said(name, "without calibration"), "{name}: {warnings:?}");
        let noise = decoder.index().tensor(name).unwrap().noise().unwrap();
        assert!(noise > 0.0 && noise < 0.1, "{name}: {noise}");
    }
    assert!(quantised(&to, "model.layers.0.self_attn.q_proj.weight"));
    let (cost, whole) = (divergence(&to, &model), divergence(&model, &model));
    assert!(cost < 0.2 && whole == 0.0, "{cost}");
}

#[test]
fn without_gradients_more_is_lost_but_less_than_without_a_text() {
    let folder = folder();
    let original = kjv().join("model.safetensors");
    let model = folder.path().join("model.safetensors");
    fs::copy(&original, &model).unwrap();
    let mut calibration = calibration(&folder);
    let cost = |calibration: &Calibration| {
        let (to, warnings) = encode(&model, calibration).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        divergence(&to, &original)
    };
    let full = cost(&calibration);
    calibration.gradients = false;
    let less = cost(&calibration);
    let plain = folder.path().join("plain.wcodec");
    checkpoint::encode_lossy(&model, &plain, &EncodeOptions::lossless(), &Lossy::bits(5.0), &()).unwrap();
    let plain = divergence(&plain, &original);
    assert!(full < less && less < 0.9 * plain, "{full} {less} {plain}");
}

#[test]
fn a_model_of_another_kind_can_be_quantised_without() {
    let folder = folder();
    let model = changed(&folder, "model.norm.weight", Tensor::clone);
    let mut config: Value = serde_json::from_slice(&fs::read(kjv().join("config.json")).unwrap()).unwrap();
    config["model_type"] = "rwkv".into();
    config["architectures"] = serde_json::json!(["RwkvForCausalLM"]);
    file(&folder, "config.json", &config.to_string());
    let error = encode(&model, &calibration(&folder)).unwrap_err().to_string();
    assert!(
        error.contains("Rwkv") && error.contains("without calibration"),
        "{error}"
    );
}

#[test]
fn expected_losses_are_in_the_index() {
    let folder = folder();
    let model = changed(&folder, "model.norm.weight", Tensor::clone);
    let (to, _) = encode(&model, &calibration(&folder)).unwrap();
    let decoder = Decoder::open(&to).unwrap();
    let mut all = 0.0;
    for tensor in decoder.index().tensors() {
        assert_eq!(
            tensor.noise().is_some(),
            tensor.loss().is_some() && tensor.steps().is_some()
        );
        all += tensor.loss().unwrap_or(0.0);
        if let Some([least, middle, largest]) = tensor.steps() {
            assert!(0.0 < least && least <= middle && middle <= largest && largest < 1.0);
        }
    }
    // The expected loss is the divergence to second order, but for what is damped and for errors that meet.
    let measured = divergence(&to, &model);
    assert!(all > measured / 3.0 && all < measured * 3.0, "{all} {measured}");
}

//! Whole models: the same logits, bit for bit.

use super::transformers::{config, logits};
use super::{CPU, Files, Stored, bits};
use candle_core::DType;
use candle_transformers::models::llama;
use serde_json::{Value, json};
use wcodec::candle::{LoadOptions, WcodecBackend, model_tensors};

const TOKENS: [u32; 4] = [1, 95, 2, 40];

fn check(model_type: &str, tied: bool) {
    let config = config(12, model_type, tied);
    let expected = model_tensors(config.to_string().as_bytes()).unwrap();
    let stored: Vec<_> = expected
        .iter()
        .map(|(n, s)| Stored::random(n, wcodec::DType::BF16, s))
        .collect();
    // Tensors lie in turn in two shards.
    let (even, odd): (Vec<_>, Vec<_>) = stored.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
    let [even, odd] = [even, odd].map(|half| half.into_iter().map(|(_, t)| t).collect());
    let files = Files::new(&[even, odd]);
    for dtype in [DType::F32, DType::BF16] {
        let plain = bits(&logits(&config, files.plain(dtype), &TOKENS));
        assert!(plain.2.iter().any(|&b| b != 0));
        // All ahead, about three layers, one tensor at most, none.
        for ahead in [256 << 20, 200_000, 20_000, 0] {
            let options = LoadOptions::default().ahead_bytes(ahead).map(ahead == 0);
            let backend = WcodecBackend::open(&files.wcodec, options).unwrap();
            backend.require(&expected).unwrap();
            assert!(
                bits(&logits(&config, backend.var_builder(dtype, &CPU), &TOKENS)) == plain,
                "{model_type} {dtype:?} {ahead}"
            );
        }
        let folder = wcodec::candle::var_builder(&[files.dir.path()], dtype, &CPU).unwrap();
        assert!(
            bits(&logits(&config, folder, &TOKENS)) == plain,
            "{model_type} {dtype:?} from the folder"
        );
        let bytes: Vec<_> = files.wcodec.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let vb = wcodec::candle::var_builder_from_bytes(bytes, dtype, &CPU).unwrap();
        assert!(
            bits(&logits(&config, vb, &TOKENS)) == plain,
            "{model_type} {dtype:?} in memory"
        );
    }
}

#[test]
fn llama_gives_the_same_logits() {
    check("llama", false);
    check("llama", true);
}

#[test]
fn mistral_gives_the_same_logits() {
    check("mistral", false);
}

#[test]
fn qwen2_gives_the_same_logits() {
    check("qwen2", false);
    check("qwen2", true);
}

#[test]
fn qwen3_gives_the_same_logits() {
    check("qwen3", false);
    check("qwen3", true);
}

#[test]
fn one_thread_is_enough() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| check("llama", false));
}

#[test]
fn threads_of_the_pool_may_ask() {
    use rayon::prelude::*;
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (0..4).into_par_iter().for_each(|_| check("qwen3", true)));
    }
}

#[test]
fn configurations_are_checked() {
    let wrong = |json: Value| model_tensors(json.to_string().as_bytes()).unwrap_err().to_string();
    assert!(wrong(json!({})).contains("model_type"));
    let mut other = config(12, "gpt2", false);
    assert!(wrong(other.clone()).contains("gpt2"));
    other["model_type"] = "llama".into();
    other["num_attention_heads"] = 0.into();
    assert!(wrong(other).contains("num_attention_heads"));

    for (key, size) in [
        ("num_hidden_layers", u64::MAX),
        ("num_hidden_layers", 10_001),
        ("hidden_size", u64::MAX),
        ("hidden_size", 1 << 40),
        ("intermediate_size", u64::MAX),
        ("vocab_size", 1 << 60),
        ("num_key_value_heads", u64::MAX),
        ("num_key_value_heads", 1 << 40),
    ] {
        for kind in ["llama", "qwen3"] {
            let mut huge = config(12, kind, false);
            huge[key] = size.into();
            assert!(wrong(huge).contains("is above"), "{key} {size}");
        }
    }
    let mut huge = config(12, "qwen3", false);
    huge["head_dim"] = u64::MAX.into();
    assert!(wrong(huge).contains("head's size"));
}

/// `Llama::load` unwraps what its layers are given.
#[test]
fn what_model_code_panics_on_is_an_error() {
    let config = config(12, "llama", false);
    let expected = model_tensors(config.to_string().as_bytes()).unwrap();
    let stored = expected.iter().map(|(n, s)| Stored::random(n, wcodec::DType::BF16, s));
    let files = Files::new(&[stored.collect()]);
    let name = "model.layers.7.mlp.up_proj.weight";
    let mut bytes = std::fs::read(&files.wcodec[0]).unwrap();
    let decoder = wcodec::Decoder::open(&files.wcodec[0]).unwrap();
    let info = decoder.tensor(name).unwrap().info();
    bytes[(info.offset() + info.encoded_len() / 2) as usize] ^= 1;

    let options = LoadOptions::default().check(false);
    let backend = WcodecBackend::from_bytes([bytes], options).unwrap();
    let config: llama::LlamaConfig = serde_json::from_value(config).unwrap();
    let config = config.into_config(false);
    let llama = |backend: &WcodecBackend| -> Result<_, wcodec::Error> {
        backend.build(DType::F32, &CPU, |vb| Ok(llama::Llama::load(vb, &config)?))
    };
    for _ in 0..2 {
        let error = llama(&backend).err().unwrap();
        assert!(
            matches!(&error, wcodec::Error::Corrupt { at, .. } if at.tensor.as_deref() == Some(name)),
            "{error}"
        );
    }
    // Another panic, and another error, are not taken for it.
    let panics = backend.build(DType::F32, &CPU, |_| -> wcodec::Result<()> { panic!("no such layer") });
    assert!(matches!(panics, Err(wcodec::Error::Compute(what)) if what.contains("no such layer")));
    let optional = backend.build(DType::F32, &CPU, |vb| -> wcodec::Result<()> {
        let bias = vb.get(1, "lm_head.bias").ok();
        vb.get_unchecked("model.norm.weight")?;
        panic!("{bias:?}: no such layer")
    });
    assert!(matches!(optional, Err(wcodec::Error::Compute(what)) if what.contains("no such layer")));
    let own = backend.build(DType::F32, &CPU, |_| -> wcodec::Result<()> {
        Err(wcodec::Error::Cancelled)
    });
    assert!(matches!(own, Err(wcodec::Error::Cancelled)));
    let sound = WcodecBackend::open(&files.wcodec, options).unwrap();
    assert!(llama(&sound).is_ok());
}

//! Memory that calibration takes: within the limit that it is given, the least that it accepts included.
#![cfg(feature = "eval")]

#[path = "support/counting.rs"]
mod counting;

use counting::{Counting, most, peak};
use std::path::Path;
use wcodec::calibrate::{self, Calibration};
use wcodec::checkpoint::Lossy;
use wcodec::{EncodeOptions, Error, Progress};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Tells on stderr what the peak was when a step began.
struct Steps;

impl Progress for Steps {
    fn start(&self, _: u64) {
        eprintln!("  so far {:.1} MB", most() as f64 / 1e6);
    }
}

/// Sizes of a model: hidden, intermediate, vocabulary, layers.
const SHAPES: [(u64, [usize; 4]); 3] = [
    (1, [256, 704, 1024, 4]),
    (2, [128, 2048, 1024, 2]),
    (3, [192, 256, 40000, 2]),
];

/// A random model in BF16, with the tokenizer and the text of the project's own.
fn model(folder: &Path, seed: u64, [hidden, inner, vocab, layers]: [usize; 4]) {
    let kjv = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv");
    std::fs::copy(kjv.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "intermediate_size": inner, "num_attention_heads": 4, "num_key_value_heads": 2,
        "num_hidden_layers": layers, "vocab_size": vocab, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 512, "tie_word_embeddings": true, "bos_token_id": 0,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![vocab, hidden])];
    for layer in 0..layers {
        let key = hidden / 2;
        for (name, shape) in [
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![key, hidden]),
            ("self_attn.v_proj", vec![key, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
    let mut state = seed;
    let mut weight = |norm: bool| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let random = (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
        let weight = if norm { 1.0 } else { 0.2 * random };
        (weight.to_bits() >> 16) as u16
    };
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, shape) in tensors {
        let (start, norm) = (data.len(), name.contains("norm"));
        (0..shape.iter().product::<usize>()).for_each(|_| data.extend(weight(norm).to_le_bytes()));
        let entry = serde_json::json!({ "dtype": "BF16", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name, entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
}

fn encode(folder: &Path, memory: Option<u64>, gradients: bool) -> wcodec::Result<Vec<u8>> {
    let mut calibration = Calibration::new([folder.join("text.txt")]);
    calibration.tokens = 4096;
    (calibration.memory, calibration.gradients) = (memory, gradients);
    let to = folder.join("out.wcodec");
    let (lossy, options) = (Lossy::bits(4.0), EncodeOptions::lossless());
    let model = folder.join("model.safetensors");
    calibrate::encode(&model, &to, &options, &lossy, &calibration, [&Steps, &Steps])?;
    Ok(std::fs::read(to).unwrap())
}

// One test: the counts are the process's.
#[test]
fn a_limit_on_memory_is_held() {
    for (seed, shape) in SHAPES {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        model(folder, seed, shape);
        std::fs::write(folder.join("text.txt"), include_str!("../src/format/SPEC.md").repeat(2)).unwrap();
        let refused = encode(folder, Some(1), true).unwrap_err();
        let said = refused.to_string();
        assert!(
            matches!(refused, Error::Input { .. }) && !folder.join("out.wcodec").exists(),
            "{said}"
        );
        assert!(!folder.join("out.wcodec.calibration").exists());
        let mut numbers = said.split(' ').filter_map(|word| word.parse::<u64>().ok());
        let least = numbers.next().unwrap();
        let ways: &[bool] = if seed == 1 { &[true, false] } else { &[true] };
        for &gradients in ways {
            let (made, most) = peak(|| encode(folder, Some(least), gradients).unwrap());
            let (free, unlimited) = peak(|| encode(folder, None, gradients).unwrap());
            eprintln!("{shape:?} {gradients}: {most} of {least}, without a limit {unlimited}");
            assert!(most as u64 <= least, "{shape:?}: {most} of {least}");
            // It is no guess far above what is needed.
            assert!(most as u64 > least / 6, "{shape:?}: {most} of {least}");
            // The same file but for the last bits of sums.
            let sizes = [made, free].map(|file| file.len() as f64);
            assert!((sizes[0] / sizes[1] - 1.0).abs() < 0.01, "{sizes:?}");
        }
        let below = encode(folder, Some(least - 1), true).unwrap_err().to_string();
        assert!(below.contains(&format!(" {least} bytes")), "{below}");
    }
}

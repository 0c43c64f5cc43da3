//! `run`, on the model in `models/`.

use super::*;

/// A folder with copies of the model, as safetensors and as `.wcodec`.
fn with_models() -> TempDir {
    let folder = folder();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/kjv");
    fs::create_dir(folder.path().join("plain")).expect("a folder");
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(model.join(name), folder.path().join("plain").join(name)).expect("a file of the model");
    }
    fine(&folder, "encode plain -o small --quiet");
    folder
}

#[test]
fn encoded_weights_write_the_same_text() {
    let folder = with_models();
    for options in ["--temperature 0", "--seed 5", "--seed 5 --top-p 1 --dtype bf16"] {
        let text = |model: &str| {
            let result = json(
                &folder,
                &format!("run {model} --prompt And.God.said --max-tokens 30 {options}"),
            );
            assert_eq!(result["tokens"], 30);
            assert_eq!(
                result["weights"],
                if model == "small" { "wcodec" } else { "safetensors" }
            );
            result["text"].as_str().expect("a text").to_owned()
        };
        let plain = text("plain");
        assert!(plain.len() > 30, "{plain:?}");
        assert_eq!(text("small"), plain, "{options}");
    }
    let result = json(&folder, "run plain --prompt And --max-tokens 1");
    let (estimate, bytes) = (&result["encoded_bytes_estimate"], &result["safetensors_bytes"]);
    let encoded = fs::metadata(folder.path().join("small/model.wcodec"))
        .expect("a file")
        .len() as f64;
    let estimate = estimate.as_f64().expect("a number");
    assert!(
        (estimate / encoded - 1.0).abs() < 0.02,
        "{estimate} of {bytes}, in truth {encoded}"
    );
}

#[test]
fn what_does_not_run_is_said() {
    let folder = with_models();
    let at = |name: &str| folder.path().join(name);
    fails(&folder, "run small --prompt x --top-p 2", 2, "usage");
    fails(&folder, "run small/model.wcodec --prompt x", 2, "usage");
    let long = "word".repeat(4000);
    fails(&folder, &format!("run small --prompt {long}"), 2, "usage");
    let config = fs::read_to_string(at("small/config.json")).expect("a configuration");
    let changed = |from: &str, to: &str| {
        assert!(config.contains(from));
        fs::write(at("small/config.json"), config.replace(from, to)).expect("a file");
    };
    changed("LlamaForCausalLM", "GrokForCausalLM");
    fails(&folder, "run small --prompt x", 1, "unsupported");
    changed("\"num_hidden_layers\": ", "\"num_hidden_layers\": 1");
    fails(&folder, "run small --prompt x", 1, "no-tensor");
    fs::remove_file(at("small/config.json")).expect("a file");
    fails(&folder, "run small --prompt x", 1, "input");
}

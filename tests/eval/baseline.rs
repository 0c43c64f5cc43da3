//! `wcodec baseline` from outside.

use super::*;
use serde_json::Value;
use std::process::Command;

fn run(folder: &TempDir, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    let output = command
        .current_dir(folder)
        .arg("baseline")
        .args(arguments)
        .arg("--quiet")
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn json(folder: &TempDir, arguments: &[&str]) -> Value {
    let (status, text) = run(folder, &[arguments, &["--json", "--runs", "1"]].concat());
    assert_eq!(status, 0, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn target<'a>(model: &'a Value, name: &str) -> &'a Value {
    let targets = model["targets"].as_array().unwrap();
    targets
        .iter()
        .find(|t| t["target"].as_str().unwrap().contains(name))
        .unwrap()
}

#[test]
fn a_models_figures_hold_together() {
    let folder = folder();
    file(&folder, "text.txt", TEXT);
    let kjv = kjv();
    let value = json(
        &folder,
        &[kjv.to_str().unwrap(), "--text", "text.txt", "--markdown", "b.md"],
    );
    let model = &value["models"][0];
    let number = |pointer: &str| model.pointer(pointer).and_then(Value::as_f64).unwrap();
    let tensors = model["tensors"].as_array().unwrap();
    let sum = |field: &str| tensors.iter().map(|t| t[field].as_f64().unwrap()).sum::<f64>();
    assert_eq!(number("/by_dtype/BF16/bytes"), sum("bytes"));
    assert_eq!(number("/by_dtype/BF16/encoded_bytes"), sum("encoded_bytes"));
    assert_eq!(number("/by_dtype/BF16/elements") * 2.0, sum("bytes"));
    assert!(number("/encoded_bytes") < number("/original_bytes"));
    // Fields of BF16: the sign is noise, the exponent is not.
    let fields = model["fields"]["BF16"].as_array().unwrap();
    let entropy = |i: usize| fields[i]["entropy"].as_f64().unwrap();
    assert!(fields.len() == 3 && entropy(0) > 0.9 && (1.0..4.0).contains(&entropy(1)) && entropy(2) > 6.5);
    // What is reached lies above the bound of large matrices, and not far.
    for t in tensors.iter().filter(|t| t["elements"].as_u64().unwrap() > 100_000) {
        let bound = t["entropy_bound"]["bits"].as_f64().unwrap();
        let bits = t["bits_per_element"].as_f64().unwrap();
        assert!(bits > bound * 0.999 && bits < bound * 1.06, "{t}");
    }
    for scheme in ["INT8, a scale a row", "INT4, groups of 128"] {
        let one = &model["rounded"][scheme];
        let [plain, coded, bound] = ["bits", "encoded_bits", "entropy_bound_bits"].map(|f| one[f].as_f64().unwrap());
        assert!(bound <= coded && coded < plain, "{scheme}: {one}");
        let all = tensors
            .iter()
            .filter(|t| t["shape"].as_array().unwrap().len() == 2)
            .count();
        assert_eq!((&one["matrices"], &one["of_matrices"]), (&all.into(), &all.into()));
    }
    let loads = model["loads"].as_array().unwrap();
    assert!(loads.iter().any(|l| l["format"] == ".wcodec" && l["cache"] == "warm"));
    assert_eq!(target(model, "bit-exact")["state"], "met");
    assert_eq!(target(model, "accuracy")["state"], "met");
    assert_eq!(target(model, "GPU")["state"], "not-measured");
    assert!(
        target(model, "INT4")["measured"]
            .as_str()
            .unwrap()
            .contains("the entropy bound allows")
    );
    let markdown = fs::read_to_string(folder.path().join("b.md")).unwrap();
    assert!(markdown.contains("| target | state | measured |") && markdown.contains("**Identical**"));
}

#[test]
fn small_matrices_count_and_a_part_is_no_whole() {
    let folder = folder();
    // Rows that repeat are predicted from each other: no order-0 bound knows that.
    let rows: Vec<f32> = (0..64 * 64).map(|i| ((i % 64 * 37 + 11) % 64) as f32 - 31.5).collect();
    let matrix = |values: &[f32], columns: usize| {
        let rows = values.len() / columns;
        Tensor::from_slice(values, (rows, columns), &Device::Cpu).unwrap()
    };
    let save = |name: &str, tensors: Vec<(&str, Tensor)>| {
        let tensors: HashMap<String, Tensor> = tensors.into_iter().map(|(n, t)| (n.to_owned(), t)).collect();
        candle_core::safetensors::save(&tensors, folder.path().join(name)).unwrap();
    };
    let norm = Tensor::ones(64, candle_core::DType::F32, &Device::Cpu).unwrap();
    let small = ("layers.0.q", matrix(&rows, 64));
    save("small.safetensors", vec![small.clone(), ("norm", norm)]);
    let spoilt = [&rows[1..], &[f32::NAN]].concat();
    save("part.safetensors", vec![small, ("layers.0.k", matrix(&spoilt, 64))]);
    let all = [
        "small.safetensors",
        "part.safetensors",
        "--markdown",
        "b.md",
        "--html",
        "b.html",
    ];
    let value = json(&folder, &all);
    let [small, part] = [0, 1].map(|i| &value["models"][i]);
    for (model, state, of) in [
        (small, "met", "1 of 1 matrix (98.5 % of the weights)"),
        (part, "in-part", "1 of 2 matrices (50.0 % of the weights)"),
    ] {
        let int8 = target(model, "INT8");
        let measured = int8["measured"].as_str().unwrap();
        assert_eq!(int8["state"], state, "{int8}");
        assert!(measured.contains(of), "{int8}");
        assert!(measured.contains("neighbours, which the bound does not"), "{int8}");
        for report in ["b.md", "b.html"] {
            let report = fs::read_to_string(folder.path().join(report)).unwrap();
            // Beside the figures and in the target, of both schemes.
            assert!(report.matches(of).count() >= 4, "{of}: {report}");
            assert!(report.contains("neighbours, which the bound does not"), "{report}");
        }
    }
    let (status, text) = run(&folder, &["part.safetensors", "--runs", "1", "--force"]);
    assert!(status == 0 && text.contains("of 1 of 2 matrices (50.0 %"), "{text}");
    assert!(
        text.contains("in part       file size") && !text.contains("met           file size"),
        "{text}"
    );
}

#[test]
fn quantised_and_encoded_inputs_are_taken() {
    let folder = folder();
    let integers = |n: usize| (0..n).map(|i| (i * i % 61) as u8).collect::<Vec<u8>>();
    let tensor = Tensor::from_vec(integers(1 << 16), (256, 256), &Device::Cpu).unwrap();
    let path = folder.path().join("u8.safetensors");
    candle_core::safetensors::save(&HashMap::from([("layers.0.q".to_owned(), tensor)]), &path).unwrap();
    let encoded = encoded(&folder);
    let value = json(&folder, &["u8.safetensors", encoded.to_str().unwrap()]);
    let [plain, encoded] = [0, 1].map(|i| &value["models"][i]);
    let int4 = target(plain, "INT4")["measured"].as_str().unwrap();
    assert!(int4.contains("the U8 matrices of the file, lossless"), "{int4}");
    assert_eq!(target(plain, "INT8")["state"], "not-measured");
    assert_eq!(target(plain, "accuracy")["state"], "not-measured");
    assert!(encoded["original_bytes"].as_u64() > encoded["encoded_bytes"].as_u64());
    let (status, text) = run(&folder, &["no.safetensors", "--json"]);
    assert!(status == 1 && text.contains("\"kind\":\"io\""), "{text}");
    file(&folder, "empty.txt", " ");
    let (status, text) = run(&folder, &["u8.safetensors", "--text", "empty.txt", "--json"]);
    assert!(status == 1 && text.contains("the text is empty"), "{text}");
}

#[test]
fn what_is_too_long_is_found_before_the_work() {
    let folder = folder();
    let long = format!("{{\"context\": {TEXT:?}, \"target\": \" day\"}}\n");
    file(&folder, "long.jsonl", &format!("{ITEMS}{long}"));
    // No work can be done on this: it is no checkpoint.
    file(&folder, "model.safetensors", "");
    for name in ["config.json", "tokenizer.json"] {
        fs::copy(kjv().join(name), folder.path().join(name)).unwrap();
    }
    let on = ["model.safetensors", "--task", "long.jsonl", "--json"];
    let (status, text) = run(&folder, &on);
    assert!(
        status == 1 && text.contains("long.jsonl:7: ") && text.contains("--too-long skip"),
        "{text}"
    );
    let (status, text) = run(&folder, &[&on[..], &["--too-long", "skip"]].concat());
    assert!(status == 1 && !text.contains("long.jsonl"), "{text}");
}

//! `inspect` and `bench`.

use super::*;

#[test]
fn inspect_adds_up() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    let all = json(&folder, "inspect model.wcodec");
    let sum = |key: &str| -> u64 {
        let tensors = all["tensors"].as_array().expect("an array");
        tensors.iter().map(|t| t[key].as_u64().expect("a number")).sum()
    };
    assert_eq!(all["data_bytes"], sum("bytes"));
    assert_eq!(all["payload_bytes"], sum("encoded_bytes"));
    assert_eq!(all["by_dtype"]["BF16"]["bytes"], sum("bytes"));
    assert_eq!(all["source"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(all["version"], "1.0");
    let table = fine(&folder, "inspect model.wcodec");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    assert!(table.contains("model.layers.0.mlp.up_proj.weight"));
    let summary = fine(&folder, "inspect model.wcodec --summary");
    assert!(!summary.contains("up_proj") && summary.contains("BF16"));
}

#[test]
fn bench_keeps_its_contract() {
    let folder = with_model();
    let result = json(&folder, "bench model.safetensors --runs 2 --threads 1");
    let size = fs::metadata(folder.path().join("model.safetensors"))
        .expect("a file")
        .len();
    assert_eq!((&result["bytes"], &result["threads"]), (&size.into(), &1.into()));
    assert_eq!(result["lossless"], true);
    for key in ["encode_seconds", "decode_seconds", "copy_seconds"] {
        let seconds = result[key].as_array().expect("an array");
        assert!(
            seconds.len() == 2 && seconds.iter().all(|s| s.as_f64() > Some(0.0)),
            "{key}: {seconds:?}"
        );
    }
    assert_eq!(result["encode"].as_array().map(Vec::len), Some(3));
    fine(&folder, "encode model.safetensors");
    assert_eq!(
        fs::metadata(folder.path().join("model.wcodec")).expect("a file").len(),
        result["encoded_bytes"]
    );
    let one = json(&folder, "bench model.wcodec --runs 1 --effort fast --backend scalar");
    assert_eq!((&one["effort"], &one["backend"]), (&"fast".into(), &"scalar".into()));
    fails(&folder, "bench missing.safetensors", 1, "io");
}

//! Files of several kinds on one page, and models that stand for another format.

use super::*;
use candle_core::safetensors::load;
use safetensors::SafeTensors;
use serde_json::Value;
use std::process::{Command, Output};

fn wcodec(folder: &TempDir, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wcodec"));
    command.current_dir(folder).arg("eval").arg(kjv());
    command
        .args(arguments.split(' '))
        .args(["--text", "text.txt", "--quiet"]);
    command.output().unwrap()
}

/// Writes a changed model whose metadata says what its tensors take elsewhere.
fn standing_for(folder: &TempDir, name: &str, stored_bytes: &str) {
    let tensors = load(
        changed(folder, "model.norm.weight", |old| (old * 1.01).unwrap()),
        &Device::Cpu,
    )
    .unwrap();
    let metadata = HashMap::from([("stored_bytes".to_owned(), stored_bytes.to_owned())]);
    let bytes = safetensors::serialize(tensors.iter(), Some(metadata)).unwrap();
    assert!(SafeTensors::deserialize(&bytes).is_ok());
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn folders_are_curves_and_bytes_are_those_of_the_format() {
    let folder = folder();
    file(&folder, "text.txt", TEXT);
    let name = "model.layers.3.mlp.down_proj.weight";
    standing_for(&folder, "other/X4.safetensors", &format!("{{\"{name}\":24576}}"));
    standing_for(&folder, "other/X5.safetensors", &format!("{{\"{name}\":30720}}"));
    let ours = folder.path().join("ours");
    fs::create_dir(&ours).unwrap();
    for bits in [4.0, 5.0] {
        let to = ours.join(format!("{bits}.wcodec"));
        let lossy = wcodec::checkpoint::Lossy::bits(bits);
        let model = kjv().join("model.safetensors");
        wcodec::checkpoint::encode_lossy(&model, &to, &EncodeOptions::lossless(), &lossy, &()).unwrap();
    }
    let files = "ours/4.wcodec ours/5.wcodec other/X4.safetensors other/X5.safetensors";
    let output = wcodec(&folder, &format!("{files} --json --html page.html"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bytes = |i: usize| report["candidates"][i]["bytes"].as_u64().unwrap();
    assert_eq!(bytes(3) - bytes(2), 30720 - 24576);
    // 384 x 128 weights in BF16, of which 98304 bytes are no more.
    let whole = fs::metadata(kjv().join("model.safetensors")).unwrap().len();
    assert!(bytes(2) < whole - 98304 + 24576 && bytes(2) > whole - 98304 + 24576 - 10_000);
    let linear = |i: usize| report["candidates"][i]["linear_bits_per_weight"].as_f64().unwrap();
    assert!(linear(2) < linear(3) && linear(3) < 16.0);
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    for text in [">ours<", ">other<", ">X4<", ">X5<"] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn bytes_that_are_none_are_an_error() {
    let folder = folder();
    file(&folder, "text.txt", TEXT);
    for wrong in ["many", "{\"a\":-1}", "[1]"] {
        standing_for(&folder, "a.safetensors", wrong);
        let output = wcodec(&folder, "a.safetensors");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains("stored_bytes"),
            "{said}"
        );
    }
}

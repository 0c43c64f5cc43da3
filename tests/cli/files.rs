//! Encoding, decoding and verifying files and folders.

use super::*;

#[test]
fn a_file_comes_back_with_every_effort() {
    let folder = with_model();
    let original = fs::read(folder.path().join("model.safetensors")).expect("a file");
    for effort in ["fast", "default", "max"] {
        let encoded = json(&folder, &format!("encode model.safetensors --force --effort {effort}"));
        assert_eq!(encoded["bytes"], original.len());
        assert_eq!(encoded["effort"], effort);
        let size = fs::metadata(folder.path().join("model.wcodec")).expect("a file").len();
        assert_eq!(encoded["encoded_bytes"], size);
        assert!(size < original.len() as u64 * 3 / 4);
        let verified = json(&folder, "verify model.wcodec --against model.safetensors --threads 1");
        assert_eq!((&verified["ok"], &verified["compared"]), (&true.into(), &1.into()));
        fine(
            &folder,
            "decode model.wcodec -o copy.safetensors --force --backend scalar",
        );
        assert!(fs::read(folder.path().join("copy.safetensors")).expect("a file") == original);
    }
    assert_eq!(names(&folder).len(), 3);
}

#[test]
fn what_exists_is_kept() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    fails(&folder, "encode model.safetensors", 1, "exists");
    fails(&folder, "decode model.wcodec", 1, "exists");
    fails(&folder, "synth -o model.safetensors", 1, "exists");
    fails(
        &folder,
        "encode model.safetensors -o model.safetensors --force",
        2,
        "usage",
    );
    if cfg!(unix) {
        // A file is written beside its name and renamed: not over a device.
        fails(&folder, "encode model.safetensors -o /dev/null --force", 1, "exists");
    }
}

#[test]
fn damage_is_status_1_and_leaves_no_file() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    let good = fs::read(folder.path().join("model.wcodec")).expect("a file");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x10;
    fs::write(folder.path().join("bad.wcodec"), bad).expect("a file");
    fs::write(folder.path().join("cut.wcodec"), &good[..good.len() / 2]).expect("a file");
    fs::write(folder.path().join("text.wcodec"), "hello").expect("a file");
    let before = names(&folder);
    for (file, kind) in [
        ("bad", "corrupt"),
        ("cut", "corrupt"),
        ("text", "not-wcodec"),
        ("missing", "io"),
    ] {
        fails(&folder, &format!("verify {file}.wcodec"), 1, kind);
        fails(&folder, &format!("decode {file}.wcodec"), 1, kind);
    }
    fails(&folder, "inspect cut.wcodec", 1, "corrupt");
    fails(&folder, "encode text.wcodec -o out.wcodec", 1, "input");
    fails(&folder, "encode missing.safetensors", 1, "io");
    fails(&folder, "encode model.safetensors -o no/such/folder.wcodec", 1, "io");
    fails(&folder, "decode model.wcodec -o no/such/folder.safetensors", 1, "io");
    fails(&folder, "synth -o no/such/folder.safetensors", 1, "io");
    assert_eq!(names(&folder), before);
}

#[test]
fn a_difference_is_status_1() {
    let folder = with_model();
    fine(&folder, "encode model.safetensors");
    fine(&folder, "synth -o other.safetensors --size 1MB --seed 2");
    fails(&folder, "verify model.wcodec --against other.safetensors", 1, "differs");
}

#[test]
fn folders_come_back() {
    let folder = folder();
    let made = json(&folder, "synth -o model --size 2MB --shards 3");
    let before = files(&folder.path().join("model"));
    assert_eq!(before.len(), 5);
    let encoded = json(&folder, "encode model");
    assert_eq!((&encoded["files"], &encoded["tensors"]), (&3.into(), &made["tensors"]));
    assert!(folder.path().join("model.wcodec/model-00002-of-00003.wcodec").is_file());
    assert_eq!(json(&folder, "verify model.wcodec --against model")["compared"], 3);
    fine(&folder, "decode model.wcodec -o copy");
    let after = files(&folder.path().join("copy"));
    for ((name, content), (name2, content2)) in before.iter().zip(&after) {
        assert_eq!(name, name2);
        if name.extension().is_some_and(|e| e == "safetensors") {
            assert!(content == content2, "{}", name.display());
        } else {
            // The shard index says the same, if not in the same bytes.
            let read = |json: &[u8]| serde_json::from_slice::<Value>(json).expect("it is JSON");
            assert_eq!(read(content), read(content2), "{}", name.display());
        }
    }
    assert_eq!(before.len(), after.len());
    fails(&folder, "decode model.wcodec -o copy", 1, "exists");
}

#[test]
fn long_names_are_fine() {
    let folder = folder();
    // As long as file systems allow, with the longer extension.
    let name = "n".repeat(255 - ".safetensors".len());
    fine(&folder, &format!("synth -o {name}.safetensors --size 1MB"));
    fine(&folder, &format!("encode {name}.safetensors"));
    fine(&folder, &format!("decode {name}.wcodec --force"));
    // Characters of several bytes.
    let name = "\u{1d11e}".repeat(60);
    fine(&folder, &format!("synth -o {name}.safetensors --size 1MB"));
    fine(&folder, &format!("encode {name}.safetensors"));
}

#[test]
fn the_folder_at_hand_has_a_name() {
    let folder = with_model();
    let inner = folder.path().join("model.v1");
    fs::create_dir(&inner).expect("a folder");
    fs::rename(folder.path().join("model.safetensors"), inner.join("model.safetensors")).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_wcodec"))
        .current_dir(&inner)
        .args(["encode", ".", "--quiet"])
        .output()
        .expect("the program starts");
    assert_eq!(status(&output), 0, "{}", text(&output.stderr));
    assert!(folder.path().join("model.v1.wcodec/model.wcodec").is_file());
    // A folder with one file is that file, with two it is to be said which.
    assert!(fine(&folder, "inspect model.v1.wcodec").contains("model.v1.wcodec"));
    let out = folder.path().join("model.v1.wcodec");
    fs::copy(out.join("model.wcodec"), out.join("other.wcodec")).expect("a copy");
    fails(&folder, "inspect model.v1.wcodec", 2, "usage");
}

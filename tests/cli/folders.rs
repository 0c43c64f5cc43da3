//! Folders: what is copied beside the shards, what stands in the way, what a comparison finds.

use super::*;

/// A folder with a small model's folder `m` of two shards.
fn with_folder() -> TempDir {
    let folder = folder();
    fine(&folder, "synth -o m --size 1MB --shards 2");
    folder
}

fn write(folder: &TempDir, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), content).expect("a file");
}

fn remove(folder: &TempDir, name: &str) {
    fs::remove_file(folder.path().join(name)).expect("it was there");
}

#[test]
fn a_copy_never_takes_the_place_of_what_is_made() {
    let folder = with_folder();
    for (old, index) in [
        ("model-00001-of-00002.wcodec", false),
        ("model.wcodec.index.json", true),
    ] {
        write(&folder, &format!("m/{old}"), "old");
        let message = fails(&folder, "encode m -o out", 1, "input");
        assert!(message.contains(old), "{message}");
        assert!(!folder.path().join("out").exists(), "{index}");
        remove(&folder, &format!("m/{old}"));
    }
    // One of another name is a file like others.
    write(&folder, "m/other.wcodec", "other");
    fine(&folder, "encode m -o out");
    assert_eq!(
        fs::read(folder.path().join("out/other.wcodec")).expect("a file"),
        b"other"
    );
    remove(&folder, "out/other.wcodec");

    write(&folder, "out/model-00001-of-00002.safetensors", "old");
    let message = fails(&folder, "decode out -o back", 1, "input");
    assert!(message.contains("model-00001-of-00002.safetensors"), "{message}");
    assert!(!folder.path().join("back").exists());
}

#[test]
fn files_of_an_earlier_run_are_refused() {
    let folder = with_folder();
    fine(&folder, "encode m -o out");
    fine(&folder, "decode out -o back");
    fine(&folder, "synth -o n --size 1MB --shards 3");
    fine(&folder, "encode n -o small");
    let before = files(&folder.path().join("out"));
    let message = fails(&folder, "encode n -o out --force", 1, "input");
    for stale in ["model-00001-of-00002.wcodec", "model-00002-of-00002.wcodec"] {
        assert!(message.contains(stale), "{message}");
    }
    let message = fails(&folder, "decode small -o back --force", 1, "input");
    assert!(message.contains("model-00002-of-00002.safetensors"), "{message}");
    assert!(files(&folder.path().join("out")) == before);

    // A file alone has no index: the old one would name other shards.
    fs::create_dir(folder.path().join("one")).expect("a folder");
    fs::copy(
        folder.path().join("m/model-00001-of-00002.safetensors"),
        folder.path().join("one/model.safetensors"),
    )
    .expect("a file");
    fine(&folder, "encode one -o single");
    write(&folder, "single/model.wcodec.index.json", "{}");
    let message = fails(&folder, "encode one -o single --force", 1, "input");
    assert!(message.contains("model.wcodec.index.json"), "{message}");

    // A folder where a file is to be written is found first.
    fs::create_dir_all(folder.path().join("odd/config.json")).expect("a folder");
    fails(&folder, "encode m -o odd --force", 2, "usage");
    assert_eq!(fs::read_dir(folder.path().join("odd")).expect("a folder").count(), 1);

    // The same files are replaced, others stay.
    write(&folder, "out/notes.txt", "mine");
    fine(&folder, "encode m -o out --force");
    assert!(folder.path().join("out/notes.txt").exists());
}

#[test]
fn a_folder_is_compared_file_by_file() {
    let folder = with_folder();
    write(&folder, "m/README.md", "# Model\n");
    write(&folder, "m/empty", "");
    fine(&folder, "publish m --repo me/m -o out");
    assert_eq!(json(&folder, "verify out --against m")["compared"], 2);
    let good = files(&folder.path().join("out"));
    for (name, content) in &good {
        let name = format!("out/{}", name.display());
        if name == "out/.gitattributes" {
            continue;
        }
        remove(&folder, &name);
        let message = fails(&folder, "verify out --against m", 1, "differs");
        assert!(message.contains(&name), "{message}");
        if !name.ends_with(".wcodec") {
            for different in [&content[1.min(content.len())..], b"x", &[content, &b"x"[..]].concat()] {
                write(&folder, &name, different);
                let grown = name == "out/README.md" && different.starts_with(content);
                if !grown && different != content.as_slice() {
                    fails(&folder, "verify out --against m", 1, "differs");
                }
            }
        }
        write(&folder, &name, content);
    }
    write(&folder, "out/more.wcodec", "more");
    fails(&folder, "verify out --against m", 1, "differs");
    remove(&folder, "out/more.wcodec");
    fine(&folder, "verify out --against m");
}

#[test]
fn publishing_again_gives_the_same() {
    let folder = with_folder();
    for readme in [None, Some("# Model\n")] {
        if let Some(text) = readme {
            write(&folder, "m/README.md", text);
        }
        fine(&folder, "publish m --repo me/m -o out --force");
        let before = files(&folder.path().join("out"));
        fine(&folder, "publish m --repo me/m -o out --force");
        assert!(files(&folder.path().join("out")) == before);
    }
}

#[test]
fn an_index_comes_back_byte_for_byte() {
    let folder = with_folder();
    let index = "m/model.safetensors.index.json";
    let text = "{\"x\":\"y.wcodec\", \"weight_map\" : {\"a.safetensors\":\n\"model-00001-of-00002.safetensors\"}, \
        \"z\": \"y.safetensors\"}";
    write(&folder, index, text);
    fine(&folder, "encode m -o out");
    fine(&folder, "decode out -o back");
    assert!(files(&folder.path().join("back")) == files(&folder.path().join("m")));

    // A wrong one is found before anything is written.
    write(&folder, index, r#"{"weight_map": {"a": "model.bin"}}"#);
    let message = fails(&folder, "encode m -o other", 1, "input");
    assert!(
        message.contains("model.safetensors.index.json") && message.contains("model.bin"),
        "{message}"
    );
    assert!(!folder.path().join("other").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_are_no_text_are_kept() {
    use std::os::unix::ffi::OsStrExt;
    let folder = with_folder();
    let name = |bytes: &[u8]| folder.path().join("m").join(std::ffi::OsStr::from_bytes(bytes));
    for (one, content) in [(b"\xff.json", "1"), (b"\xfe.json", "2")] {
        fs::write(name(one), content).expect("a file");
    }
    for (one, shard) in [(b"\xff.safetensors", 1), (b"\xfe.safetensors", 2)] {
        let from = format!("m/model-0000{shard}-of-00002.safetensors");
        fs::rename(folder.path().join(from), name(one)).expect("a file");
    }
    fine(&folder, "encode m -o out");
    fine(&folder, "verify out --against m");
    fine(&folder, "decode out -o back");
    assert!(files(&folder.path().join("back")) == files(&folder.path().join("m")));
}

//! Folders and shard indexes in the place of files.

use super::*;
use wcodec::candle::{LoadOptions, WcodecBackend};

fn names(path: &std::path::Path) -> Result<Vec<String>, wcodec::Error> {
    let backend = WcodecBackend::open(&[path], LoadOptions::default())?;
    let mut names: Vec<String> = backend.names().map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

#[test]
fn folders_and_indexes_name_their_shards() {
    let tensor = |name: &str| vec![Stored::random(name, wcodec::DType::F32, &[3])];
    let files = Files::new(&[tensor("a"), tensor("b"), tensor("stale")]);
    let folder = files.dir.path();
    assert_eq!(names(folder).unwrap(), ["a", "b", "stale"]);
    let index = folder.join("model.wcodec.index.json");
    std::fs::write(&index, r#"{"weight_map":{"a":"0.wcodec","b":"1.wcodec"}}"#).unwrap();
    assert_eq!(names(&index).unwrap(), ["a", "b"]);
    assert_eq!(names(folder).unwrap(), ["a", "b"]);
    std::fs::write(folder.join("other.wcodec.index.json"), "{}").unwrap();
    assert!(names(folder).unwrap_err().to_string().contains("several shard indexes"));

    for bad in [
        "../0.wcodec",
        "/0.wcodec",
        "./0.wcodec",
        "a/0.wcodec",
        "0.safetensors",
        "",
        "..",
    ] {
        std::fs::write(&index, format!(r#"{{"weight_map":{{"a":"{bad}"}}}}"#)).unwrap();
        let error = names(&index).unwrap_err();
        assert!(matches!(error, wcodec::Error::Input { .. }), "{bad:?}: {error}");
    }
    for bad in ["", "[]", "{}", r#"{"weight_map":{}}"#, r#"{"weight_map":{"u":1}}"#] {
        std::fs::write(&index, bad).unwrap();
        let error = names(&index).unwrap_err();
        assert!(matches!(error, wcodec::Error::Input { .. }), "{bad:?}: {error}");
    }
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(names(empty.path()), Err(wcodec::Error::Input { .. })));
}

#[test]
#[cfg(unix)]
fn only_regular_files_are_opened() {
    let tensor = |name: &str| vec![Stored::random(name, wcodec::DType::F32, &[3])];
    let files = Files::new(&[tensor("a")]);
    let folder = files.dir.path();
    std::fs::create_dir(folder.join("folder.wcodec")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("device.wcodec")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.join("device.wcodec.index.json")).unwrap();
    let pipe = folder.join("pipe.wcodec");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    assert_eq!(names(folder).unwrap(), ["a"]);

    // Named one by one they are errors, at once.
    for file in ["pipe.wcodec", "device.wcodec", "device.wcodec.index.json"] {
        let error = names(&folder.join(file)).unwrap_err();
        assert!(matches!(error, wcodec::Error::Input { .. }), "{file}: {error}");
        assert!(error.to_string().contains("regular file"), "{error}");
    }
    let index = folder.join("model.wcodec.index.json");
    std::fs::write(&index, r#"{"weight_map":{"a":"pipe.wcodec"}}"#).unwrap();
    assert!(matches!(names(&index), Err(wcodec::Error::Input { .. })));

    // A shard that should be there is missed.
    std::os::unix::fs::symlink("nowhere", folder.join("gone.wcodec")).unwrap();
    std::fs::remove_file(&index).unwrap();
    assert!(matches!(names(folder), Err(wcodec::Error::Io { .. })));
}

use super::*;

fn there_and_back(json: &str, expected: &str) {
    let path = Path::new("index");
    let renamed = rename(path, json.as_bytes(), "safetensors", "wcodec").unwrap();
    assert_eq!(std::str::from_utf8(&renamed), Ok(expected));
    let back = rename(path, &renamed, "wcodec", "safetensors").unwrap();
    assert_eq!(std::str::from_utf8(&back), Ok(json));
}

#[test]
fn only_the_weight_maps_values_are_renamed() {
    there_and_back(
        r#"{"weight_map": {"a": "1.safetensors"}}"#,
        r#"{"weight_map": {"a": "1.wcodec"}}"#,
    );
    // Strings elsewhere, of both extensions; names with escapes; white space; no order.
    there_and_back(
        "{\"x\" :\"y.wcodec\", \"z\": [\"y.safetensors\", {\"weight_map\": {\"q\": \"n.safetensors\"}}],\n\
         \"weight\\u005fmap\":\n\t{\"a.safetensors\": \"\\u00e8\\\"\\\\.safetensors\", \"b.wcodec\":\"1.safetensors\"},\n\
         \"weight_map \": {\"c\": \"2.safetensors\"}, \"metadata\": {\"weight_map\": \"m.safetensors\"}}\n",
        "{\"x\" :\"y.wcodec\", \"z\": [\"y.safetensors\", {\"weight_map\": {\"q\": \"n.safetensors\"}}],\n\
         \"weight\\u005fmap\":\n\t{\"a.safetensors\": \"\\u00e8\\\"\\\\.wcodec\", \"b.wcodec\":\"1.wcodec\"},\n\
         \"weight_map \": {\"c\": \"2.safetensors\"}, \"metadata\": {\"weight_map\": \"m.safetensors\"}}\n",
    );
}

#[test]
fn what_is_no_index_is_refused() {
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"weight_map": 1}"#,
        r#"{"weight_map": {"a": 1}}"#,
        r#"{"weight_map": {"a": ["1.safetensors"]}}"#,
        r#"{"weight_map": {"a": "1.bin"}}"#,
        r#"{"weight_map": {"a": "1.wcodec"}}"#,
        r#"{"weight_map": {"a": "1.safetensors"}} {}"#,
        r#"{"weight_map": {}, "weight_map": {}}"#,
        &format!("{}{}", r#"{"x": "#, "[".repeat(1 << 20)),
    ] {
        let result = rename(Path::new("index"), bad.as_bytes(), "safetensors", "wcodec");
        assert!(matches!(result, Err(Error::Input { .. })), "{:.80}", bad);
    }
}

#[test]
fn files_are_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.index.json");
    fs::write(&path, r#"{"weight_map": {"a": "2", "b": "1", "c": "2", "d": "3"}}"#).unwrap();
    assert_eq!(shard_files(&path, |_| true).unwrap(), ["1", "2", "3"]);
    assert_eq!(shard_files(&path, |name| name != "d").unwrap(), ["1", "2"]);
    let error = shard_files(folder.path(), |_| true).unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
}

#[test]
#[cfg(unix)]
fn devices_have_no_end() {
    let error = shard_files(Path::new("/dev/zero"), |_| true).unwrap_err();
    assert!(matches!(error, Error::Input { .. }), "{error}");
}

#[test]
fn large_indexes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.index.json");
    let file = File::create(&path).unwrap();
    file.set_len(MAX_BYTES + 1).unwrap();
    let error = shard_files(&path, |_| true).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

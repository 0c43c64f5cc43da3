//! What is wrong, and where.

use super::*;
use candle_core::{DType, Tensor};
use wcodec::Error;
use wcodec::eval::{Bos, ModelFiles, Setting, TextOptions, TooLong, measure_task, measure_text, read_items, read_text};

/// The message of an error in the input.
fn input<T>(result: wcodec::Result<T>) -> String {
    match result {
        Err(error @ Error::Input { .. }) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("an error was expected"),
    }
}

#[test]
fn lines_of_a_task_are_checked() {
    let folder = folder();
    let good = r#"{"context": "a", "choices": [" b", " c"], "gold": 1}"#;
    for (line, what) in [
        (r#"{"context": "a", "choices": [" b", " c"]}"#, "\"gold\" is missing"),
        (
            r#"{"context": "a", "choices": [" b", " c"], "gold": 2}"#,
            "\"gold\" is 2: an index of \"choices\", 0 to 1",
        ),
        (
            r#"{"context": "a", "choices": [" b", " c"], "gold": -1}"#,
            "\"gold\" is -1",
        ),
        (
            r#"{"context": "a", "choices": [" b", " c"], "gold": "1"}"#,
            "\"gold\" is \"1\"",
        ),
        (r#"{"choices": [" b", " c"], "gold": 0}"#, "\"context\" is missing"),
        (
            r#"{"context": 5, "choices": [" b", " c"], "gold": 0}"#,
            "\"context\" is no string",
        ),
        (
            r#"{"context": "a", "choices": [" b", ""], "gold": 0}"#,
            "entry 1 of \"choices\" is empty",
        ),
        (r#"{"context": "a", "choices": [" b"], "gold": 0}"#, "at least 2"),
        (r#"{"context": "a", "choices": " b", "gold": 0}"#, "is no list"),
        (r#"{"contexts": ["a", "b"], "gold": 0}"#, "\"continuation\" is missing"),
        (
            r#"{"contexts": ["a", "b"], "continuation": " ", "gold": 0}"#,
            "\"continuation\" is empty",
        ),
        (r#"{"context": "a", "target": ""}"#, "\"target\" is empty"),
        (r#"{"question": "a"}"#, "none of the fields"),
        (r#"[1]"#, "not a JSON object"),
        (r#"{"context""#, "not JSON"),
    ] {
        let path = file(&folder, "task.jsonl", &format!("{good}\n\n{line}\n"));
        let message = input(read_items(&path));
        assert!(message.starts_with(&format!("{}:3: ", path.display())), "{message}");
        assert!(message.contains(what), "{message}");
    }
    assert!(input(read_items(&file(&folder, "none.jsonl", "\n"))).contains("no items"));
    assert!(matches!(read_items(Path::new("no/such")), Err(Error::Io { .. })));
}

#[test]
fn texts_are_checked() {
    let folder = folder();
    assert!(input(read_text(&file(&folder, "a.txt", " \n"))).contains("a.txt: the text is empty"));
    assert!(input(read_text(&file(&folder, "a.jsonl", "{\"text\": \"x\"}\n{}\n"))).contains("a.jsonl:2: "));
    let models = models(&kjv(), &kjv());
    let mut options = TextOptions::default();
    options.window = 257;
    assert!(input(measure_text(&models, &text(), &options, &())).contains("256 positions"));
    let mut load = Load::default();
    load.bos = Bos::Never;
    let bare = Models::open(&kjv(), &kjv(), &load).unwrap();
    for (window, stride, what) in [
        (0, None, "fewer than 2"),
        (1, None, "fewer than 2"),
        (64, Some(0), "a stride of 0"),
        (64, Some(65), "a stride of 65"),
    ] {
        (options.window, options.stride) = (window, stride);
        let message = input(measure_text(&models, &text(), &options, &()));
        assert!(message.starts_with("genesis: ") && message.contains(what), "{message}");
    }
    options.stride = None;
    options.window = 256;
    let one = vec![(text()[0].0.clone(), "a".to_owned())];
    assert!(input(measure_text(&bare, &one, &options, &())).contains("too short"));
    let nothing_before = file(&folder, "t.jsonl", "{\"context\": \"\", \"target\": \" light\"}\n");
    let items = read_items(&nothing_before).unwrap();
    assert!(input(measure_task(&bare, &items, &())).contains("t.jsonl:1: nothing stands before"));
    assert!(measure_task(&models, &items, &()).is_ok());
}

#[test]
fn long_items_are_left_out_or_cut_if_asked() {
    let folder = folder();
    let long = format!("{{\"id\": \"long\", \"context\": {:?}, \"target\": \" day\"}}\n", TEXT);
    let path = file(&folder, "long.jsonl", &format!("{ITEMS}{long}"));
    let items = read_items(&path).unwrap();
    let with = |too_long| {
        let mut load = Load::default();
        load.too_long = too_long;
        measure_task(&Models::open(&kjv(), &kjv(), &load).unwrap(), &items, &())
    };
    let message = input(with(TooLong::Refuse));
    assert!(
        message.contains("long.jsonl:7: a sequence of 3") && message.contains("--too-long skip"),
        "{message}"
    );
    let skipped = with(TooLong::Skip).unwrap();
    assert_eq!((skipped.items, skipped.skipped, skipped.truncated), (6, 1, 0));
    let cut = with(TooLong::Truncate).unwrap();
    assert_eq!((cut.items, cut.skipped, cut.truncated), (7, 0, 1));
    assert_eq!(cut.answers[..6], skipped.answers[..]);
    // Nothing but what cannot be asked is left.
    let path = file(&folder, "all.jsonl", &long);
    let mut load = Load::default();
    load.too_long = TooLong::Skip;
    let models = Models::open(&kjv(), &kjv(), &load).unwrap();
    let message = input(measure_task(&models, &read_items(&path).unwrap(), &()));
    assert!(message.contains("all 1 items are longer"), "{message}");
    let endless = format!("{{\"context\": \"a\", \"target\": {:?}}}\n", TEXT);
    load.too_long = TooLong::Truncate;
    let models = Models::open(&kjv(), &kjv(), &load).unwrap();
    let items = read_items(&file(&folder, "endless.jsonl", &endless)).unwrap();
    let message = input(measure_task(&models, &items, &()));
    assert!(message.contains("endless.jsonl:1: a continuation of"), "{message}");
    load.too_long = TooLong::Skip;
    let models = Models::open(&kjv(), &kjv(), &load).unwrap();
    let items = read_items(&file(&folder, "some.jsonl", &format!("{endless}{ITEMS}"))).unwrap();
    let skipped = measure_task(&models, &items, &()).unwrap();
    assert_eq!((skipped.items, skipped.skipped), (6, 1));
}

#[test]
fn a_text_is_no_task_and_a_task_no_text() {
    let folder = folder();
    let message = input(read_items(&file(&folder, "wiki.raw", TEXT)));
    assert!(
        message.contains("wiki.raw:1: ") && message.contains("--text"),
        "{message}"
    );
    let message = input(read_text(&file(&folder, "items.jsonl", ITEMS)));
    assert!(
        message.contains("items.jsonl:1: ") && message.contains("--task"),
        "{message}"
    );
}

#[test]
fn a_candidate_of_other_files_is_said() {
    let folder = folder();
    let reference = ModelFiles::find(&kjv()).unwrap();
    let load = Load::default();
    let of = |folder: &Path, load: &Load| {
        let candidate = ModelFiles::find(folder).unwrap();
        Setting::of(&reference, &candidate, load).unwrap().candidate(&candidate)
    };
    // Another order of fields, another way to cut for training: the same tokenizer, the same configuration.
    let same = copy(&folder, "tokenizer.json", |t| {
        t.replace("\"truncation\": null", "\"truncation\":  null")
    });
    assert!(of(&same, &load).unwrap().1.is_empty());
    let theta = copy(&folder, "config.json", |c| c.replace("10000.0", "20000.0"));
    let (_, said) = of(&theta, &load).unwrap();
    assert!(
        said.len() == 1 && said[0].starts_with("rope_theta 10000 and 20000 ("),
        "{said:?}"
    );
    let mut named = Load::default();
    named.config = Some(kjv().join("config.json"));
    assert!(of(&theta, &named).unwrap().1.is_empty());
    let other = copy(&folder, "tokenizer.json", |t| {
        let mut json: serde_json::Value = serde_json::from_str(&t).unwrap();
        json["model"]["unk_token"] = "other".into();
        json.to_string()
    });
    let message = input(of(&other, &load));
    assert!(
        message.contains("copy/tokenizer.json") && message.contains("--tokenizer"),
        "{message}"
    );
    named.tokenizer = Some(kjv().join("tokenizer.json"));
    assert!(of(&other, &named).is_ok());
}

#[test]
fn quantised_weights_are_not_taken_for_plain_ones() {
    let folder = folder();
    let name = "model.layers.1.mlp.up_proj.weight";
    let bytes = changed(&folder, name, |old| old.to_dtype(DType::U8).unwrap());
    let message = input(Models::open(&kjv(), &bytes, &Load::default()));
    assert!(
        message.contains("changed.safetensors") && message.contains(name) && message.contains("of the type U8"),
        "{message}"
    );
    // Encoded it is the same.
    let encoded = folder.path().join("bytes.wcodec");
    wcodec::checkpoint::encode(&bytes, &encoded, &EncodeOptions::lossless(), &()).unwrap();
    assert!(input(Models::open(&kjv(), &encoded, &Load::default())).contains("of the type U8"));
    let original = kjv().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(original, &Device::Cpu).unwrap();
    let scale = Tensor::new(&[2f32], &Device::Cpu).unwrap();
    tensors.insert(format!("{name}_scale_inv"), scale);
    let scaled = folder.path().join("scaled.safetensors");
    candle_core::safetensors::save(&tensors, &scaled).unwrap();
    let message = input(Models::open(&kjv(), &scaled, &Load::default()));
    assert!(
        message.contains("has its scale in") && message.contains("convert"),
        "{message}"
    );
    let marked = copy(&folder, "config.json", |c| {
        c.replacen('{', "{\"quantization_config\": {\"bits\": 8}, ", 1)
    });
    assert!(input(Models::open(&kjv(), &marked, &Load::default())).contains("quantization_config"));
    let text = file(&folder, "text.txt", TEXT);
    let calibrated = wcodec::calibrate::encode(
        &marked,
        &folder.path().join("out.wcodec"),
        &EncodeOptions::default(),
        &wcodec::checkpoint::Lossy::bits(4.0),
        &wcodec::calibrate::Calibration::new([text]),
        [&(), &()],
    );
    assert!(input(calibrated).contains("quantization_config"));
}

#[test]
fn long_items_are_refused_with_their_line() {
    let folder = folder();
    let long = format!("{{\"context\": {:?}, \"target\": \" day\"}}\n", TEXT);
    let path = file(&folder, "long.jsonl", &format!("\n{long}"));
    let message = input(measure_task(&models(&kjv(), &kjv()), &read_items(&path).unwrap(), &()));
    assert!(
        message.contains("long.jsonl:2: a sequence of") && message.contains("256 positions"),
        "{message}"
    );
}

/// The project's model folder with one file changed.
fn copy(folder: &TempDir, name: &str, change: impl Fn(String) -> String) -> PathBuf {
    let to = folder.path().join("copy");
    fs::create_dir_all(&to).unwrap();
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        fs::copy(kjv().join(file), to.join(file)).unwrap();
    }
    let changed = change(fs::read_to_string(to.join(name)).unwrap());
    fs::write(to.join(name), changed).unwrap();
    to
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let folder = folder();
    let open = |reference: &Path, candidate: &Path| Models::open(reference, candidate, &Load::default());
    let smaller = copy(&folder, "config.json", |c| {
        c.replace("\"num_hidden_layers\": 6", "\"num_hidden_layers\": 5")
    });
    let message = input(open(&kjv(), &smaller));
    assert!(
        message.contains("different shapes: num_hidden_layers 6 and 5"),
        "{message}"
    );
    // The configuration fits, the weights do not.
    let wrong = changed(&folder, "model.layers.1.mlp.up_proj.weight", |old| {
        old.narrow(0, 0, 100).unwrap()
    });
    let message = input(open(&kjv(), &wrong));
    assert!(
        message.contains("changed.safetensors: ") && message.contains("up_proj"),
        "{message}"
    );
    let other = copy(&folder, "config.json", |c| {
        c.replace("LlamaForCausalLM", "MambaForCausalLM")
    });
    let message = input(open(&other, &kjv()));
    assert!(
        message.contains("MambaForCausalLM") && message.contains("Qwen3ForCausalLM"),
        "{message}"
    );
    let lone = changed(&folder, "model.norm.weight", Tensor::clone);
    assert!(input(open(&lone, &lone)).contains("no config.json beside it"));
    assert!(input(open(folder.path(), folder.path())).contains("config.json"));
}

#[test]
fn a_tokenizer_of_another_model_is_found_out() {
    let folder = folder();
    let tensor = "model.embed_tokens.weight";
    let small = changed(&folder, tensor, |old| old.narrow(0, 0, 300).unwrap());
    let config = fs::read_to_string(kjv().join("config.json")).unwrap();
    file(
        &folder,
        "config.json",
        &config.replace("\"vocab_size\": 1024", "\"vocab_size\": 300"),
    );
    fs::copy(kjv().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let models = models(&small, &small);
    let mut options = TextOptions::default();
    options.window = 64;
    let message = input(measure_text(&models, &text(), &options, &()));
    assert!(
        message.starts_with("genesis: ") && message.contains("the model has 300"),
        "{message}"
    );
    let path = file(&folder, "t.jsonl", ITEMS);
    let message = input(measure_task(&models, &read_items(&path).unwrap(), &()));
    assert!(message.contains("t.jsonl:1: the tokenizer gives token"), "{message}");
    let not_one = file(&folder, "config.json", "{}");
    let mut load = Load::default();
    load.config = Some(kjv().join("config.json"));
    load.tokenizer = Some(not_one);
    assert!(input(Models::open(&kjv(), &kjv(), &load)).contains("not a tokenizer"));
}

//! Results that are kept: the reference's, and those of a run that did not end.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use wcodec::eval::{
    Bos, Item, ModelFiles, TaskReport, TextOptions, TextReport, measure_task, measure_text, read_items,
};
use wcodec::{Error, Progress};

fn louder(old: &Tensor) -> Tensor {
    (old * 1.2).unwrap()
}

fn items(folder: &TempDir) -> Vec<Item> {
    // Enough for several batches.
    read_items(&file(folder, "items.jsonl", &ITEMS.repeat(40))).unwrap()
}

/// Text and task, as strings that show every bit.
fn measure(models: &Models, items: &[Item], progress: &dyn Progress) -> wcodec::Result<(String, String)> {
    let mut options = TextOptions::default();
    (options.window, options.stride) = (100, Some(10));
    let text: TextReport = measure_text(models, &text(), &options, progress)?;
    let task: TaskReport = measure_task(models, items, progress)?;
    let answers = serde_json::to_string(&task.answers).unwrap();
    Ok((
        serde_json::to_string(&text).unwrap(),
        serde_json::to_string(&task).unwrap() + &answers,
    ))
}

fn saving(path: &Path) -> Load {
    let mut load = Load::default();
    load.save_reference = Some(path.to_owned());
    load
}

#[test]
fn saved_results_are_the_models() {
    let folder = folder();
    let (saved, items) = (folder.path().join("kjv.reference"), items(&folder));
    let candidate = changed(&folder, "model.layers.3.mlp.down_proj.weight", louder);
    let expected = measure(&models(&kjv(), &candidate), &items, &()).unwrap();
    let first = Models::open(&kjv(), &candidate, &saving(&saved)).unwrap();
    assert_eq!(measure(&first, &items, &()).unwrap(), expected);
    assert!(!saved.exists(), "no half file under the final name");
    first.finish().unwrap();
    let before = fs::read(&saved).unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3, "nothing is left beside it");

    let again = Models::open(&kjv(), &candidate, &saving(&saved)).unwrap();
    assert_eq!(measure(&again, &items, &()).unwrap(), expected);
    // Of this run is the candidate's time alone.
    let times = measure_task(&again, &items, &()).unwrap().times;
    assert!(times.reference.earlier == times.reference.all && !times.reference.all.is_zero());
    assert!(times.candidate.earlier.is_zero() && !times.candidate.all.is_zero());
    again.finish().unwrap();
    assert!(fs::read(&saved).unwrap() == before);
    // The layers are not needed any more: a reference without them will do, were it the same file.
    let lossless = Models::open(&kjv(), &encoded(&folder), &saving(&saved)).unwrap();
    let (text, task) = measure(&lossless, &items, &()).unwrap();
    assert!(text.contains("\"identical\":true") && task.contains("\"identical\":true"));
}

#[test]
fn another_candidate_takes_the_place_of_the_one_before() {
    let folder = folder();
    let (saved, items) = (folder.path().join("reference"), items(&folder));
    let candidate = changed(&folder, "model.layers.3.mlp.down_proj.weight", louder);
    let models = Models::open(&kjv(), &encoded(&folder), &saving(&saved)).unwrap();
    assert!(measure(&models, &items, &()).unwrap().0.contains("\"identical\":true"));
    let models = models
        .replace_candidate(&ModelFiles::find(&candidate).unwrap())
        .unwrap();
    let alone = Models::open(&kjv(), &candidate, &Load::default()).unwrap();
    assert_eq!(
        measure(&models, &items, &()).unwrap(),
        measure(&alone, &items, &()).unwrap()
    );
}

#[test]
fn a_wrong_pairing_is_refused() {
    let folder = folder();
    let (saved, all) = (folder.path().join("kjv.reference"), items(&folder));
    let candidate = encoded(&folder);
    let models = Models::open(&kjv(), &candidate, &saving(&saved)).unwrap();
    measure(&models, &all, &()).unwrap();
    models.finish().unwrap();

    let refused = |result: wcodec::Result<Models>| match result {
        Err(Error::Input { file, what }) => {
            assert!(file.ends_with("kjv.reference"), "{file}");
            what
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("an error was expected"),
    };
    // The same model in another file is another model, as far as anyone can see without decoding it.
    let other = refused(Models::open(&candidate, &candidate, &with_files(&saving(&saved))));
    assert!(other.contains("name another file, or remove it"), "{other}");
    assert!(
        other.contains("of another run: the reference's weights: the file was of BLAKE3 "),
        "{other}"
    );
    let mut load = saving(&saved);
    load.bos = Bos::Never;
    assert!(refused(Models::open(&kjv(), &candidate, &load)).contains("(--bos) was 0, is none"));
    let mut load = saving(&saved);
    load.dtype = candle_core::DType::BF16;
    assert!(refused(Models::open(&kjv(), &candidate, &load)).contains("dtype was f32, is bf16"));
    let mut load = saving(&saved);
    let tokenizer = fs::read_to_string(kjv().join("tokenizer.json")).unwrap();
    load.tokenizer = Some(file(&folder, "tokenizer.json", &format!("{tokenizer}\n")));
    assert!(refused(Models::open(&kjv(), &candidate, &load)).contains("tokenizer.json: the file was of BLAKE3"));

    let models = Models::open(&kjv(), &candidate, &saving(&saved)).unwrap();
    let wrong = |error: Error| error.to_string();
    let mut options = TextOptions::default();
    (options.window, options.stride) = (100, Some(20));
    let stride = wrong(measure_text(&models, &text(), &options, &()).unwrap_err());
    assert!(
        stride.contains("kjv.reference") && stride.contains("stride was 10, is 20"),
        "{stride}"
    );
    let mut other = text();
    other[0].1.push('x');
    options.stride = Some(10);
    assert!(
        wrong(measure_text(&models, &other, &options, &()).unwrap_err())
            .contains("the text: its content was of BLAKE3")
    );
    let fewer = wrong(measure_task(&models, &all[1..], &()).unwrap_err());
    assert!(
        fewer.contains("the number of items (--limit) was 240, is 239"),
        "{fewer}"
    );
}

fn with_files(load: &Load) -> Load {
    let mut load = load.clone();
    load.config = Some(kjv().join("config.json"));
    load.tokenizer = Some(kjv().join("tokenizer.json"));
    load
}

/// Stops the work when it has been asked so often.
struct StopAfter(AtomicUsize);

impl Progress for StopAfter {
    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) == 0
    }
}

#[test]
fn a_run_that_stopped_anywhere_goes_on_to_the_same_result() {
    let folder = folder();
    let items = items(&folder);
    let candidate = changed(&folder, "model.layers.3.mlp.down_proj.weight", louder);
    let expected = measure(&models(&kjv(), &candidate), &items, &()).unwrap();
    let mut load = saving(&folder.path().join("reference"));
    load.resume = Some(folder.path().join("so-far"));
    // Each run does one batch more and stops: after all, everything is from the files.
    let mut runs = 0;
    let result = loop {
        runs += 1;
        let models = Models::open(&kjv(), &candidate, &load).unwrap();
        match measure(&models, &items, &StopAfter(AtomicUsize::new(runs))) {
            Err(Error::Cancelled) => assert!(load.resume.as_ref().is_some_and(|p| p.exists())),
            other => {
                models.finish().unwrap();
                break other.unwrap();
            }
        }
    };
    assert!(runs > 5, "{runs}");
    assert_eq!(result, expected);
    assert!(!folder.path().join("so-far").exists() && folder.path().join("reference").exists());
    // Progress of another candidate is not taken for this one's.
    let open = |candidate: &Path| Models::open(&kjv(), candidate, &load).unwrap();
    let stopped = measure(&open(&candidate), &items, &StopAfter(AtomicUsize::new(3)));
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let lossless = measure(&open(&encoded(&folder)), &items, &()).unwrap();
    assert!(lossless.0.contains("\"identical\":true"));
}

#[test]
fn a_kept_reference_is_no_run_to_go_on_with() {
    let folder = folder();
    let (saved, so_far, items) = (
        folder.path().join("saved"),
        folder.path().join("so-far"),
        items(&folder),
    );
    let candidate = encoded(&folder);
    let models = Models::open(&kjv(), &candidate, &saving(&saved)).unwrap();
    measure(&models, &items, &()).unwrap();
    models.finish().unwrap();
    let mut resuming = Load::default();
    resuming.resume = Some(so_far.clone());
    let models = Models::open(&kjv(), &candidate, &resuming).unwrap();
    measure(&models, &items[..10], &()).unwrap();
    drop(models);
    let before = [&saved, &so_far].map(|path| fs::read(path).unwrap());
    resuming.resume = Some(saved.clone());
    for load in [resuming, saving(&so_far)] {
        let message = Models::open(&kjv(), &candidate, &load).err().unwrap().to_string();
        assert!(message.contains("what it keeps was "), "{message}");
    }
    assert!([&saved, &so_far].map(|path| fs::read(path).unwrap()) == before);
}

#[test]
fn what_a_stopped_run_left_does_not_spoil_another_runs_reference() {
    let folder = folder();
    let (saved, items) = (folder.path().join("saved"), items(&folder));
    let candidate = encoded(&folder);
    let open = || Models::open(&kjv(), &candidate, &saving(&saved)).unwrap();
    assert!(matches!(
        measure(&open(), &items, &StopAfter(AtomicUsize::new(1))),
        Err(Error::Cancelled)
    ));
    let models = open();
    measure_task(&models, &items, &()).unwrap();
    models.finish().unwrap();
    let models = open();
    assert!(measure_task(&models, &items, &()).is_ok());
    // Said before any work.
    let message = measure(&models, &items, &StopAfter(AtomicUsize::new(0)))
        .unwrap_err()
        .to_string();
    assert!(message.contains("only some of the results"), "{message}");
}

#[test]
fn a_logit_that_is_no_number_is_said_with_its_place() {
    let folder = folder();
    let broken = changed(&folder, "model.norm.weight", |old| (old * f64::NAN).unwrap());
    let models = models(&kjv(), &broken);
    let error = |result: wcodec::Result<()>| match result {
        Err(Error::Compute(what)) => what,
        other => panic!("{other:?}"),
    };
    let mut options = TextOptions::default();
    options.window = 100;
    let of_text = error(measure_text(&models, &text(), &options, &()).map(drop));
    assert!(
        of_text.contains("genesis: ") && of_text.contains("logit of the candidate is no finite number"),
        "{of_text}"
    );
    let of_task = error(measure_task(&models, &items(&folder), &()).map(drop));
    assert!(of_task.contains("items.jsonl:1: a logit of the candidate"), "{of_task}");
}

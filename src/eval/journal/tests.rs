//! Files that were cut, damaged, or are another run's.

use super::*;
use serde_json::json;

fn filled(path: &Path) -> Value {
    let identity = json!({"model": "a"});
    let mut journal = Journal::open(path, &identity, false).unwrap();
    let part = journal.part(&json!({"text": 1}), 3).unwrap();
    for batch in 0..3u32 {
        journal.append(part, batch, &[batch as u8; 100]).unwrap();
    }
    identity
}

#[test]
fn a_file_cut_anywhere_goes_on_from_its_last_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let identity = filled(&path);
    let whole = fs::read(&path).unwrap();
    for len in 0..=whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let mut journal = Journal::open(&path, &identity, false).unwrap();
        let part = journal.part(&json!({"text": 1}), 3).unwrap();
        for batch in 0..3u32 {
            match journal.read(part, batch).unwrap() {
                Some(bytes) => assert_eq!(bytes, [batch as u8; 100]),
                None => journal.append(part, batch, &[batch as u8; 100]).unwrap(),
            }
        }
        drop(journal);
        assert!(fs::read(&path).unwrap() == whole, "cut at {len}");
    }
}

#[test]
fn every_flipped_bit_of_a_finished_file_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, done) = (folder.path().join("journal"), folder.path().join("done"));
    let identity = filled(&path);
    Journal::open(&path, &identity, false).unwrap().finish(&done).unwrap();
    assert!(!path.exists() && Journal::open(&done, &identity, true).is_ok());
    let whole = fs::read(&done).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&done, bytes).unwrap();
        assert!(Journal::open(&done, &identity, true).is_err(), "bit {bit}");
    }
    fs::write(&done, &whole[..whole.len() - 1]).unwrap();
    let cut = Journal::open(&done, &identity, true).err().unwrap().to_string();
    assert!(cut.contains("damaged at byte"), "{cut}");
}

#[test]
fn what_belongs_to_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, done) = (folder.path().join("journal"), folder.path().join("done"));
    let identity = filled(&path);
    let error = |result: Result<Journal>| result.err().unwrap().to_string();
    let other = error(Journal::open(&path, &json!({"model": "b"}), false));
    assert!(other.contains("weights: the file was a, is b"), "{other}");
    let mut journal = Journal::open(&path, &identity, false).unwrap();
    assert!(error(Journal::open(&path, &identity, false)).contains("another run"));
    journal.finish(&done).unwrap();
    let mut journal = Journal::open(&done, &identity, true).unwrap();
    let missing = journal.part(&json!({"text": 2}), 1).unwrap_err().to_string();
    assert!(missing.contains("the text: its content was 1, is 2"), "{missing}");
    fs::write(&path, "something else").unwrap();
    assert!(error(Journal::open(&path, &identity, false)).contains("no file of evaluation results"));
    assert_eq!(fs::read(&path).unwrap(), b"something else");
}

#[test]
fn another_runs_results_are_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let identity = filled(&path);
    let mut other = Journal::open(&path, &identity, false).unwrap();
    other.part(&json!({"text": 2}), 1).unwrap();
    other.remove().unwrap();
    drop(other);
    let mut both = Journal::open(&path, &identity, false).unwrap();
    let part = both.part(&json!({"text": 1}), 3).unwrap();
    assert!(both.has(part, 2));
    both.part(&json!({"text": 2}), 1).unwrap();
    both.remove().unwrap();
    assert!(!path.exists());
}

#[test]
fn a_run_that_was_killed_before_the_file_had_its_name_finishes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, done) = (folder.path().join("journal"), folder.path().join("done"));
    let identity = filled(&path);
    Journal::open(&path, &identity, false).unwrap().finish(&done).unwrap();
    let whole = fs::read(&done).unwrap();
    for more in [&[][..], b"more"] {
        fs::write(&path, [&whole[..], more].concat()).unwrap();
        let mut journal = Journal::open(&path, &identity, false).unwrap();
        let part = journal.part(&json!({"text": 1}), 3).unwrap();
        assert!((0..3).all(|batch| journal.has(part, batch)));
        journal.finish(&done).unwrap();
        assert!(fs::read(&done).unwrap() == whole);
    }
}

#[test]
fn what_another_run_left_half_done_is_not_taken_for_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, done) = (folder.path().join("journal"), folder.path().join("done"));
    let identity = filled(&path);
    let mut journal = Journal::open(&path, &identity, false).unwrap();
    let other = journal.part(&json!({"text": 2}), 2).unwrap();
    journal.append(other, 0, b"half").unwrap();
    journal.finish(&done).unwrap();
    let mut journal = Journal::open(&done, &identity, true).unwrap();
    assert!(journal.part(&json!({"text": 1}), 3).is_ok());
    let half = journal.part(&json!({"text": 2}), 2).unwrap_err().to_string();
    assert!(half.contains("only some of the results"), "{half}");
}

#[test]
#[cfg(unix)]
fn a_file_that_was_renamed_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, done) = (folder.path().join("journal"), folder.path().join("done"));
    filled(&path);
    let file = File::open(&path).unwrap();
    assert!(is_at(&file, &path));
    fs::rename(&path, &done).unwrap();
    assert!(!is_at(&file, &path) && is_at(&file, &done));
    fs::write(&path, "another").unwrap();
    assert!(!is_at(&file, &path));
}

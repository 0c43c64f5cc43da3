//! Whole files into the cache.

use super::server::{COMMIT, Fault};
use super::support::data::Rng;
use super::{ID, MODEL, Setting, assert_problem, times};
use std::fs;
use wcodec::HubProblem as P;
use wcodec::{Decoder, Progress, checkpoint};

#[test]
fn a_file_is_downloaded_once_and_found_again() {
    let s = Setting::new();
    let path = s.repo().download(MODEL, &()).unwrap();
    assert!(path.ends_with(format!("models--org--model/snapshots/{COMMIT}/{MODEL}")));
    assert_eq!(fs::read(&path).unwrap(), s.model);
    let reference = fs::read_to_string(s.cache.path().join("models--org--model/refs/main")).unwrap();
    assert_eq!(reference, COMMIT);
    assert_eq!(s.sent(), s.model.len() as u64);

    assert_eq!(s.repo().download(MODEL, &()).unwrap(), path);
    let log = s.server.log();
    assert_eq!((log.len(), log[0].method.as_str()), (1, "HEAD"));
    // Of a commit there is nothing to ask.
    s.repo().revision(COMMIT).download(MODEL, &()).unwrap();
    assert!(s.server.log().is_empty());

    let odd = s.repo().download("a folder/x#.txt", &()).unwrap();
    assert_eq!(fs::read(odd).unwrap(), b"x");
    assert_eq!(s.blobs().len(), 2);
    s.assert_sound();
}

#[test]
fn files_are_listed_at_one_commit() {
    let s = Setting::new();
    let (pinned, files) = s.repo().pin_and_list().unwrap();
    assert_eq!(pinned.commit(), Some(COMMIT));
    let paths: Vec<_> = files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["a folder/x#.txt", "config.json", MODEL]);
    assert_eq!(files[2].size, Some(s.model.len() as u64));
    // The branch moves on: what was pinned stays, and is not the new commit's.
    s.server.change(ID, |repo| repo.commit = "f".repeat(40));
    assert_problem(pinned.download("config.json", &()), P::NotFound);
    assert_eq!(s.repo().pin().unwrap().commit(), Some("f".repeat(40).as_str()));
    s.repo().download("config.json", &()).unwrap();
    let reference = fs::read_to_string(s.cache.path().join("models--org--model/refs/main")).unwrap();
    assert_eq!(reference, "f".repeat(40));
}

/// A repository that is pinned stays at its commit, whatever commit the cache has of its branch.
#[test]
fn a_pinned_commit_is_not_exchanged_for_the_cached_one() {
    let s = Setting::new();
    s.repo().download("config.json", &()).unwrap();
    s.server.change(ID, |repo| repo.commit = "f".repeat(40));
    let pinned = s.repo().pin().unwrap();
    for gone in [
        pinned.clone().endpoint("http://127.0.0.1:9"),
        pinned.clone().offline(true),
    ] {
        let listed = gone.pin_and_list().map(|(repo, _)| repo.commit().map(str::to_owned));
        assert!(listed.is_err(), "{listed:?}");
    }
    pinned.download("config.json", &()).unwrap();
    let gone = pinned.endpoint("http://127.0.0.1:9").pin().unwrap();
    assert_eq!(gone.commit(), Some("f".repeat(40).as_str()));
    assert!(gone.is_unreachable());
}

#[test]
fn offline_is_what_the_cache_has() {
    let s = Setting::new();
    assert_problem(s.repo().offline(true).download(MODEL, &()), P::Offline);
    assert_problem(s.repo().offline(true).files(), P::Offline);
    let path = s.repo().download(MODEL, &()).unwrap();
    s.server.log();
    assert_eq!(s.repo().offline(true).download(MODEL, &()).unwrap(), path);
    assert_eq!(s.repo().offline(true).files().unwrap().len(), 1);
    assert!(s.repo().offline(true).decoder(MODEL).is_ok());
    assert_problem(s.repo().offline(true).download("config.json", &()), P::Offline);
    assert!(s.server.log().is_empty());
    // A server that is gone is no reason not to use what is here.
    let gone = s.repo().endpoint("http://127.0.0.1:9");
    assert_eq!(gone.download(MODEL, &()).unwrap(), path);
    assert_problem(gone.download("config.json", &()), P::Unreachable);
}

#[test]
fn refusals_say_what_to_do() {
    let s = Setting::new();
    assert_problem(s.repo().download("none.wcodec", &()), P::NotFound);
    assert_problem(s.repo().revision("none").download(MODEL, &()), P::NotFound);
    let other = wcodec::hub::repo("org/other").endpoint(&s.server.url);
    let other = other.cache_dir(s.cache.path()).token(None);
    assert!(assert_problem(other.download(MODEL, &()), P::NotAllowed).contains("HF_TOKEN"));
    s.server.change(ID, |repo| repo.token = Some("hf_right".into()));
    let text = assert_problem(s.repo().download(MODEL, &()), P::NotAllowed);
    assert!(text.contains("HF_TOKEN") && text.contains("conditions"), "{text}");
    assert_problem(s.repo().token(Some("hf_wrong".into())).files(), P::NotAllowed);
    s.repo().token(Some(" hf_right\n".into())).download(MODEL, &()).unwrap();
    assert!(!format!("{:?}", s.repo().token(Some("hf_right".into()))).contains("right"));
    for id in ["../x", "a/b/c", "", "a b"] {
        let result = wcodec::hub::repo(id).endpoint(&s.server.url).files();
        assert!(matches!(result, Err(wcodec::Error::Usage(_))), "{id}");
    }
    assert!(matches!(s.repo().download("../x", &()), Err(wcodec::Error::Usage(_))));
}

#[test]
fn the_token_stays_with_the_endpoint() {
    let s = Setting::new();
    s.server.redirect(true);
    s.server.change(ID, |repo| repo.token = Some("hf_secret".into()));
    let repo = s.repo().token(Some("hf_secret".into()));
    repo.decoder(MODEL).unwrap().tensor("a").unwrap().verify().unwrap();
    repo.download(MODEL, &()).unwrap();
    let log = s.server.log();
    assert!(log.iter().any(|l| l.storage && l.status == 206));
    assert!(log.iter().filter(|l| l.storage).all(|l| l.token.is_none()));
    assert!(log.iter().filter(|l| !l.storage).all(|l| l.token.is_some()));
    // The storage is found once, not once a range.
    let found = log.iter().filter(|l| l.status == 302 && l.method == "GET").count();
    assert!(found <= 5, "{found}");
    s.assert_sound();
}

#[test]
fn faults_that_pass_are_overcome() {
    let s = Setting::new();
    for redirect in [false, true] {
        s.server.redirect(redirect);
        for fault in [
            Fault::Drop(0),
            Fault::Drop(70_000),
            Fault::Status(500, None),
            Fault::Status(503, Some(0)),
            Fault::Status(429, Some(0)),
            Fault::Half,
        ] {
            let cache = tempfile::tempdir().unwrap();
            s.server.faults(times(3, fault.clone()));
            let path = s.repo().cache_dir(cache.path()).download(MODEL, &()).unwrap();
            assert!(fs::read(path).unwrap() == s.model, "{fault:?}");
        }
    }
    // URLs of the storage expire.
    s.server
        .faults([Fault::None, Fault::None, Fault::None, Fault::Status(403, None)]);
    s.repo().download(MODEL, &()).unwrap();
    s.assert_sound();
}

#[test]
fn faults_that_stay_are_errors() {
    let s = Setting::new();
    for (fault, problem, says) in [
        (Fault::Status(500, None), P::Unreachable, "status 500"),
        (Fault::Status(429, Some(0)), P::RateLimited, "HF_TOKEN"),
        (Fault::Status(429, Some(7200)), P::RateLimited, "7200 s"),
        (Fault::Status(403, None), P::NotAllowed, "HF_TOKEN"),
        (Fault::Drop(10), P::Unreachable, "bytes"),
        (Fault::Half, P::Unreachable, "part of it"),
        (Fault::Tag("another"), P::Changed, "another"),
        (Fault::Flip(1_000_000), P::Digest, "digest"),
        (Fault::Status(418, None), P::Protocol, "418"),
    ] {
        s.server.always(fault.clone());
        let text = assert_problem(s.repo().download(MODEL, &()), problem);
        assert!(text.contains(says) && text.contains(&s.server.url), "{text}");
        s.assert_sound();
        s.server.always(Fault::None);
        let path = s.repo().download(MODEL, &()).unwrap();
        assert!(fs::read(&path).unwrap() == s.model, "{fault:?}");
        let blob = path.canonicalize().unwrap();
        fs::remove_file(blob).unwrap();
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_server_without_ranges_gives_whole_files() {
    let s = Setting::new();
    s.server.always(Fault::IgnoreRange);
    s.server.faults(times(2, Fault::IgnoreRange));
    let path = s.repo().download(MODEL, &()).unwrap();
    assert!(fs::read(path).unwrap() == s.model);
    s.assert_sound();
}

/// Stops after so many bytes.
struct StopAfter(std::sync::atomic::AtomicI64);

impl Progress for StopAfter {
    fn advance(&self, bytes: u64, _: &str) {
        self.0.fetch_sub(bytes as i64, std::sync::atomic::Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed) <= 0
    }
}

#[test]
fn a_download_goes_on_where_it_was() {
    let s = Setting::new();
    let size = s.model.len() as u64;
    let stop = StopAfter((size as i64 * 2 / 3).into());
    assert!(matches!(s.repo().download(MODEL, &stop), Err(wcodec::Error::Cancelled)));
    s.server.log();
    s.repo().download(MODEL, &()).unwrap();
    let sent = s.sent();
    assert!(sent < size * 2 / 3, "{sent} of {size} bytes again");
    assert_eq!(s.blobs().len(), 1);
    s.assert_sound();
}

#[test]
fn what_an_earlier_run_left_damaged_is_fetched_again() {
    let s = Setting::new();
    let stop = StopAfter((s.model.len() as i64 * 2 / 3).into());
    s.repo().download(MODEL, &stop).unwrap_err();
    let partial = s.blobs().into_iter().find(|p| p.extension().unwrap() == "incomplete");
    let partial = partial.unwrap();
    fs::write(&partial, vec![0; s.model.len()]).unwrap();
    let path = s.repo().download(MODEL, &()).unwrap();
    assert!(fs::read(path).unwrap() == s.model);
    s.assert_sound();
}

#[test]
fn two_at_once_download_it_once() {
    let s = Setting::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| s.repo().download(MODEL, &()).unwrap());
        }
    });
    assert_eq!(s.sent(), s.model.len() as u64);
    s.assert_sound();
}

#[test]
fn two_hundred_loads_with_a_fault_each() {
    let s = Setting::new();
    let mut rng = Rng::new(17);
    let (mut fine, mut failed) = (0, 0);
    for round in 0..200 {
        let byte = rng.below(s.model.len() as u64);
        let fault = match round % 8 {
            0 => Fault::Status(500 + rng.below(4) as u16, None),
            1 => Fault::Status(429, Some(0)),
            2 => Fault::Flip(byte),
            3 => Fault::Half,
            4 => Fault::IgnoreRange,
            5 => Fault::Tag("another"),
            _ => Fault::Drop(byte as usize % 200_000),
        };
        s.server.redirect(rng.below(2) == 0);
        let before = rng.below(6) as usize;
        s.server
            .faults(times(before, Fault::None).into_iter().chain([fault.clone()]));
        match s.repo().download(MODEL, &()) {
            Ok(path) => {
                assert!(fs::read(&path).unwrap() == s.model, "{fault:?}");
                fine += 1;
                if round % 20 == 0 {
                    let verified = checkpoint::verify(&path, None, Default::default(), &()).unwrap();
                    assert_eq!(verified.tensors, 3);
                }
                fs::remove_file(path.canonicalize().unwrap()).unwrap();
                fs::remove_file(path).unwrap();
            }
            Err(wcodec::Error::Hub { problem, .. }) => {
                assert!(matches!(problem, P::Changed | P::Digest), "{fault:?}: {problem:?}");
                failed += 1;
            }
            Err(other) => panic!("{fault:?}: {other}"),
        }
        s.assert_sound();
    }
    assert!(fine > 140 && failed > 10, "{fine} fine, {failed} failed");
    s.server.faults([]);
    let path = s.repo().download(MODEL, &()).unwrap();
    assert!(Decoder::open(path).is_ok());
}

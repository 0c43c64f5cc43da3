//! Decoding by ranges.

use super::server::Fault;
use super::support::data::{Kind, fill};
use super::{MODEL, Setting, assert_problem, times};
use std::fs;
use std::path::PathBuf;
use wcodec::HubProblem as P;
use wcodec::{DType, Decoder};

/// The bytes of tensor `a`.
fn a() -> Vec<u8> {
    fill(Kind::Normal, DType::BF16, &[1024, 512], 3)
}

#[test]
fn a_range_never_downloads_the_file() {
    let s = Setting::new();
    for redirect in [false, true] {
        s.server.redirect(redirect);
        let contents = || -> Vec<_> {
            let log = s.server.log().into_iter();
            log.filter(|l| matches!(l.status, 200 | 206) && l.method == "GET")
                .collect()
        };
        s.server.log();
        let decoder = s.repo().decoder(MODEL).unwrap();
        let open = contents();
        assert!(open.len() <= 2 && open.iter().all(|l| l.range.is_some()), "{open:?}");

        // A tensor is one range (in several requests only if it is long).
        let z = decoder.tensor("z").unwrap();
        z.verify().unwrap();
        let tensor: u64 = contents().iter().map(|l| l.sent).sum();
        assert_eq!(tensor, z.info().encoded_len());

        // Rows are the head and the chunks that hold them.
        let mut rows = vec![0; 3 * 1024];
        decoder.tensor("z").unwrap().decode_rows(2000..2003, &mut rows).unwrap();
        assert_eq!(
            rows,
            fill(Kind::Normal, DType::BF16, &[2048, 512], 3)[2000 * 1024..2003 * 1024]
        );
        let ranges = contents();
        let sent: u64 = ranges.iter().map(|l| l.sent).sum();
        assert_eq!(ranges.len(), 2);
        assert!(sent < z.info().encoded_len() / 4, "{sent}");

        // What is at the file's front is here already.
        decoder.tensor("norm").unwrap().check().unwrap();
        decoder.tensor("a").unwrap().check().unwrap();
    }
    assert!(s.blobs().is_empty());
}

#[test]
fn a_part_is_kept_and_gone_on_from() {
    let s = Setting::new();
    let bytes = s.repo().download_part(MODEL, &|name| name != "z", &()).unwrap();
    let decoder = wcodec::Decoder::from_bytes(s.model.clone(), MODEL).unwrap();
    let of = |name| decoder.tensor(name).unwrap().info().encoded_len();
    assert_eq!(bytes, of("a") + of("norm"));
    // Nothing is under a final name; what is here is not fetched again.
    assert!(s.blobs().iter().all(|p| p.to_str().unwrap().contains(".wcodec.")));
    let first = s.sent();
    assert!(first < s.model.len() as u64 * 2 / 3, "{first}");
    let part = s.repo().decoder(MODEL).unwrap();
    assert_eq!(part.tensor("a").unwrap().decode().unwrap(), a());
    assert_eq!(part.tensor("norm").unwrap().decode().unwrap().len(), 1024);
    assert_eq!(s.sent(), 0);
    assert_eq!(part.tensor("z").unwrap().decode().unwrap().len(), 2048 * 512 * 2);
    assert!(s.sent() >= of("z"));
    // The rest, once; then there is nothing to do.
    s.repo().download(MODEL, &()).unwrap();
    assert!(s.sent() < s.model.len() as u64 * 3 / 4);
    s.assert_sound();
    assert_eq!(
        s.repo().download_part(MODEL, &|_| true, &()).unwrap(),
        of("a") + of("norm") + of("z")
    );
    assert_eq!(s.sent(), 0);
}

/// A reader cannot tell it from what arrives: the message names it, and each further download mends it.
#[test]
fn a_damaged_part_is_named_and_mended() {
    let s = Setting::new();
    let part = || s.repo().download_part(MODEL, &|name| name == "a", &());
    let decode = || s.repo().decoder(MODEL)?.tensor("a")?.decode();
    part().unwrap();
    let is_partial = |p: &PathBuf| p.to_str().unwrap().ends_with(".wcodec.incomplete");
    let partial = s.blobs().into_iter().find(is_partial).unwrap();
    let whole = Decoder::from_bytes(s.model.clone(), MODEL).unwrap();
    let info = whole.tensor("a").unwrap().info();
    let damage = |at: u64| {
        let mut bytes = fs::read(&partial).unwrap();
        bytes[at as usize] ^= 1;
        fs::write(&partial, &bytes).unwrap();
        let text = decode().unwrap_err().to_string();
        assert!(
            text.contains("http://") && text.contains(partial.to_str().unwrap()),
            "{text}"
        );
    };
    // In the head, in the index, in the tensor.
    for at in [3, 20, 200, info.offset() + info.encoded_len() / 2] {
        damage(at);
        part().unwrap();
        assert_eq!(decode().unwrap(), a());
    }
    damage(info.offset() + info.encoded_len() / 2);
    s.repo().download(MODEL, &()).unwrap();
    s.assert_sound();
    assert_eq!(decode().unwrap(), a());

    // Damage on the way, and for good.
    let other = Setting::new();
    let part = || other.repo().download_part(MODEL, &|name| name == "z", &());
    let z = whole.tensor("z").unwrap().info();
    other.server.always(Fault::Flip(z.offset() + z.encoded_len() / 2));
    assert!(matches!(part(), Err(wcodec::Error::Corrupt { .. })));
    other.server.always(Fault::None);
    part().unwrap();
    assert!(
        other
            .repo()
            .decoder(MODEL)
            .unwrap()
            .tensor("z")
            .unwrap()
            .check()
            .is_ok()
    );
}

struct Cancelled;

impl wcodec::Progress for Cancelled {
    fn cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_part_that_fails_is_an_error() {
    let s = Setting::new();
    s.server.always(Fault::IgnoreRange);
    assert_problem(s.repo().download_part(MODEL, &|_| true, &()), P::Protocol);
    s.server.always(Fault::None);
    s.server
        .faults(times(4, Fault::None).into_iter().chain(times(40, Fault::Drop(9))));
    let failed = s.repo().download_part(MODEL, &|_| true, &());
    assert_problem(failed, P::Unreachable);
    s.server.faults([]);
    let cancelled = s.repo().download_part(MODEL, &|_| true, &Cancelled);
    assert!(matches!(cancelled, Err(wcodec::Error::Cancelled)));
    assert!(s.repo().download_part(MODEL, &|_| true, &()).is_ok());
}

#[test]
fn the_cached_file_needs_no_ranges() {
    let s = Setting::new();
    s.repo().download(MODEL, &()).unwrap();
    s.server.log();
    let decoder = s.repo().decoder(MODEL).unwrap();
    assert_eq!(decoder.tensor("a").unwrap().decode().unwrap(), a());
    assert_eq!(s.sent(), 0);
}

#[test]
fn faults_that_pass_are_overcome() {
    let s = Setting::new();
    for fault in [
        Fault::Drop(1000),
        Fault::Status(500, None),
        Fault::Status(429, Some(0)),
        Fault::Half,
    ] {
        for before in 0..4 {
            let faults = times(before, Fault::None).into_iter().chain(times(2, fault.clone()));
            s.server.faults(faults);
            let decoder = s.repo().decoder(MODEL).unwrap();
            assert!(decoder.tensor("a").unwrap().decode().unwrap() == a(), "{fault:?}");
            decoder.tensor("z").unwrap().verify().unwrap();
        }
    }
}

#[test]
fn faults_that_stay_are_errors() {
    let s = Setting::new();
    for (fault, problem) in [
        (Fault::Status(500, None), P::Unreachable),
        (Fault::Status(429, Some(0)), P::RateLimited),
        (Fault::Drop(10), P::Unreachable),
        (Fault::IgnoreRange, P::Protocol),
        (Fault::Tag("another"), P::Changed),
    ] {
        let decoder = s.repo().decoder(MODEL).unwrap();
        s.server.always(fault.clone());
        let text = assert_problem(decoder.tensor("z").unwrap().decode(), problem);
        assert!(text.contains("bytes ") && text.contains("http://"), "{text}");
        assert_problem(s.repo().decoder(MODEL), problem);
        s.server.always(Fault::None);
        decoder.tensor("z").unwrap().verify().unwrap();
    }
    // Wrong bytes are found by the file's own checksums.
    let decoder: Decoder = s.repo().decoder(MODEL).unwrap();
    let info = decoder.tensor("z").unwrap().info();
    s.server.always(Fault::Flip(info.offset() + info.encoded_len() / 2));
    assert!(matches!(
        decoder.tensor("z").unwrap().decode(),
        Err(wcodec::Error::Corrupt { .. })
    ));
}

#[test]
fn another_file_of_the_same_name_is_noticed() {
    let s = Setting::new();
    let decoder = s.repo().decoder(MODEL).unwrap();
    s.server.add(super::ID, MODEL, vec![7; s.model.len()]);
    assert_problem(decoder.tensor("z").unwrap().decode(), P::Changed);
    s.server.redirect(true);
    assert_problem(decoder.tensor("z").unwrap().decode(), P::Changed);
}

use super::*;

#[test]
fn what_a_killed_run_left_goes_and_runs_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let search = folder.path().join("out.search");
    fs::create_dir_all(search.join("probe-0")).unwrap();
    for name in [
        ".probe-0.wcodec.a1b2c3.partial",
        "probe-1.wcodec",
        "lock",
        "probes-0123",
    ] {
        fs::write(search.join(name), "old").unwrap();
    }
    let place = Place::beside(&output, true).unwrap();
    let mut names: Vec<_> = fs::read_dir(&search).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "probes-0123"]);
    let said = Place::beside(&output, true).err().unwrap().to_string();
    assert!(said.contains("another run"), "{said}");
    let probe = place.probe(3);
    fs::create_dir(&probe).unwrap();
    fs::write(probe.join("a.wcodec"), "new").unwrap();
    place.publish(&probe).unwrap();
    assert_eq!(fs::read(output.join("a.wcodec")).unwrap(), b"new");
    // Into a folder that has something, file by file.
    fs::create_dir(&probe).unwrap();
    fs::write(probe.join("b.wcodec"), "more").unwrap();
    place.publish(&probe).unwrap();
    assert_eq!(fs::read_dir(&output).unwrap().count(), 2);
    place.close().unwrap();
    assert!(!search.exists());
}

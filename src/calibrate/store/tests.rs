use super::*;

fn store(folder: &Path, key: &str) -> Result<Store> {
    Store::open(folder, &format!("{KEY_MAGIC}{key}"))
}

fn one() -> HashMap<String, Tensor> {
    HashMap::from([("x".to_owned(), Tensor::new(1u32, &Device::Cpu).unwrap())])
}

#[test]
fn nothing_of_others_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("kept");
    let own = store(&folder, "a").unwrap();
    own.save("one", &one()).unwrap();
    fs::write(folder.join("letter.txt"), "mine").unwrap();
    drop(own);
    fs::write(folder.join(".tmpa1B2c3"), "half").unwrap();
    drop(store(&folder, "a").unwrap());
    assert!(!folder.join(".tmpa1B2c3").exists() && folder.join("one.statistics").exists());
    // Of another key the statistics go, the letter stays.
    let other = store(&folder, "b").unwrap();
    assert!(!other.has("one") && folder.join("letter.txt").is_file());
    other.delete().unwrap();
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
    // A folder that is someone's, and one with a key that is not ours.
    let refused = |folder: &Path| {
        let said = store(folder, "a").err().unwrap().to_string();
        assert!(said.contains("no statistics"), "{said}");
    };
    refused(&folder);
    fs::write(folder.join(KEY), "to the front door").unwrap();
    refused(&folder);
    assert_eq!(fs::read(folder.join(KEY)).unwrap(), b"to the front door");
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_without_room_is_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), "a").unwrap();
    store.save("one", &one()).unwrap();
    let there = fs::metadata(store.path("one")).unwrap().len() + fs::metadata(folder.path().join(KEY)).unwrap().len();
    // What is there takes no more room.
    store.room_for(there).unwrap();
    let said = store.room_for(u64::MAX).unwrap_err().to_string();
    assert!(said.contains(&(u64::MAX - there).to_string()), "{said}");
    assert!(said.contains("--statistics"), "{said}");
}

#[test]
fn damage_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), "a").unwrap();
    let hessian = [2.0, 0.5, 0.5, 1.0];
    let good = Factor::new(&hessian, 2).unwrap();
    store.save_factor("f", Some(&good)).unwrap();
    assert_eq!(store.load_factor("f").unwrap().unwrap(), good);
    let spoilt = [
        Factor {
            order: vec![0, 2],
            ..good.clone()
        },
        Factor {
            order: vec![1, 1],
            ..good.clone()
        },
        Factor {
            feedback: vec![1.0; 2],
            ..good.clone()
        },
        Factor {
            diagonal: vec![f32::NAN, 1.0],
            ..good.clone()
        },
        Factor {
            diagonal: vec![1.0],
            ..good
        },
    ];
    for factor in spoilt {
        store.save_factor("f", Some(&factor)).unwrap();
        let said = store.load_factor("f").unwrap_err().to_string();
        assert!(said.contains("damaged") && said.contains("delete the folder"), "{said}");
    }
    store.save("f", &one()).unwrap();
    assert!(
        store
            .load_factor("f")
            .unwrap_err()
            .to_string()
            .contains("lack a tensor")
    );
    let path = store.path("f");
    let bytes = fs::read(&path).unwrap();
    for len in [0, 7, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        let said = store.load("f").unwrap_err().to_string();
        assert!(said.contains("damaged") && said.contains("f.statistics"), "{said}");
    }
}

use super::*;

#[test]
fn one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderLock::take(folder.path()).unwrap();
    let said = FolderLock::take(folder.path()).err().unwrap().to_string();
    assert!(said.contains("another run"), "{said}");
    drop(first);
    FolderLock::take(folder.path()).unwrap().remove().unwrap();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

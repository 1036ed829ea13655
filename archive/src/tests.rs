use super::*;
use bytes::Bytes;
use std::fs;
use std::path::Path;

async fn written(folder: &Path) -> Manifest {
    let place = folder.to_str().unwrap();
    let backup = Archive::at(place).unwrap().create(2).await.unwrap();
    let mut raw = backup.file("raw");
    raw.write(Bytes::from_static(b"some ")).await.unwrap();
    raw.write(Bytes::from_static(b"bytes")).await.unwrap();
    assert_eq!(raw.finish().await.unwrap(), 10);
    let mut lines = backup.lines("lines");
    for number in 0..200_000_u64 {
        lines.push(&number).await.unwrap();
    }
    assert_eq!(lines.lines(), 200_000);
    lines.finish().await.unwrap();
    // Never finished, so no part of it.
    backup.file("half").write(Bytes::from_static(b"x")).await.unwrap();
    backup.finish().await.unwrap()
}

async fn open(folder: &Path) -> Result<Opened, Error> {
    Archive::at(folder.to_str().unwrap())?.open().await
}

#[tokio::test]
async fn what_was_written_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("a folder");
    let manifest = written(&folder).await;
    assert_eq!(manifest.files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["lines", "raw"]);
    let opened = open(&folder).await.unwrap();
    assert_eq!(opened.manifest(), &manifest);
    assert_eq!(opened.check().await, Ok(()));
    assert_eq!(opened.whole("raw").await.unwrap(), b"some bytes");
    let mut lines = opened.lines("lines").await.unwrap();
    for number in 0..200_000_u64 {
        assert_eq!(lines.next().await, Ok(Some(number)));
    }
    assert_eq!(lines.next::<u64>().await, Ok(None));
}

#[tokio::test]
async fn a_backup_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("backup");
    written(&folder).await;
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn nothing_is_written_over_what_is_there() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("holiday.jpg"), "").unwrap();
    let again = Archive::at(temp.path().to_str().unwrap()).unwrap().create(1).await;
    assert!(matches!(again, Err(Error::NotEmpty { ref found, .. }) if found == "holiday.jpg"));
}

#[tokio::test]
async fn one_that_was_cut_short_is_no_backup() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("backup");
    written(&folder).await;
    fs::remove_file(folder.join(names::MANIFEST)).unwrap();
    assert!(matches!(open(&folder).await, Err(Error::NoBackup { .. })));
}

#[tokio::test]
async fn a_changed_a_short_and_a_missing_file_are_found() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("backup");
    written(&folder).await;
    let opened = open(&folder).await.unwrap();
    let raw = folder.join("raw");
    for (damage, why) in [("some butes", "not what was written"), ("some", "has 4 bytes instead of 10")] {
        fs::write(&raw, damage).unwrap();
        let found = opened.check().await.unwrap_err().to_string();
        assert!(found.contains("raw") && found.contains(why), "{found}");
    }
    fs::remove_file(&raw).unwrap();
    assert!(opened.check().await.unwrap_err().to_string().contains("raw is missing"));
}

#[tokio::test]
async fn a_newer_format_is_named() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join(names::MANIFEST), r#"{"format":2,"else":true}"#).unwrap();
    assert!(matches!(open(temp.path()).await, Err(Error::Newer { found: 2, known: 1 })));
}

#[test]
fn what_is_no_place_is_refused() {
    for bad in ["", "http://x/y", "s3://", "s3:///x", "gs://bucket/x"] {
        assert!(Archive::at(bad).is_err(), "{bad}");
    }
}

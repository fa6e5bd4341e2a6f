//! What is noticed of files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use super::*;

/// Whether this is noticed. The kernel has queued its events when the action returns, so that no time has to pass.
async fn notices(path: &Path, action: impl FnOnce()) -> bool {
    let watch = FileWatch::on([path]).unwrap();
    action();
    tokio::time::timeout(Duration::from_millis(100), watch.changed()).await.is_ok_and(|changed| changed.is_ok())
}

#[tokio::test]
async fn a_file_that_gets_other_contents_is_noticed_however_that_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cert.pem");
    let other = folder.path().join("other");
    fs::write(&file, "1").unwrap();
    assert!(notices(&file, || fs::write(&file, "2").unwrap()).await, "written in place");
    fs::write(&other, "3").unwrap();
    assert!(notices(&file, || fs::rename(&other, &file).unwrap()).await, "renamed");
    let readable = || fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(notices(&file, readable).await, "made readable");
    assert!(notices(&file, || fs::remove_file(&file).unwrap()).await, "removed");
    assert!(notices(&file, || fs::write(&file, "4").unwrap()).await, "there again");
    assert!(!notices(&file, || fs::write(&other, "5").unwrap()).await, "another file in the folder");
    assert!(!notices(&file, || drop(fs::read(&file).unwrap())).await, "read");
}

#[tokio::test]
async fn a_link_on_the_way_that_is_exchanged_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for version in ["..1", "..2"] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("tls.crt"), version).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/tls.crt", at("tls.crt")).unwrap();
    let exchange = || {
        symlink("..2", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
    };
    assert!(notices(&at("tls.crt"), exchange).await);
    assert!(notices(&at("tls.crt"), || fs::write(at("..2/tls.crt"), "in place").unwrap()).await);
    assert!(!notices(&at("tls.crt"), || fs::write(at("..1/tls.crt"), "left behind").unwrap()).await);
}

#[tokio::test]
async fn a_folder_that_comes_and_goes_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, file) = (folder.path().join("a/b"), folder.path().join("a/b/cert.pem"));
    assert!(notices(&file, || fs::create_dir_all(&inner).unwrap()).await);
    assert!(notices(&file, || fs::write(&file, "1").unwrap()).await);
    assert!(notices(&file, || fs::rename(&inner, folder.path().join("c")).unwrap()).await);
}

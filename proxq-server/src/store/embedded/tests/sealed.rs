//! Jobs that are sealed before this store has them.

use std::fs;

use super::*;
use crate::store::KeyUse;
use crate::store::contract::sealed::{self, Rekeyed, SECRETS, Sealed, jobs_of_all_kinds, secret_job};

#[async_trait]
impl Rekeyed for Embedded {
    async fn reopen_with(&mut self, keys: &Arc<Keyring>) {
        self.store.close().await;
        self.store = open_sealed(self.folder.path(), self.time, keys);
    }
}

async fn sealed_embedded() -> Sealed<Embedded> {
    Sealed::new(embedded().await).await
}

mod contract {
    use super::sealed_embedded;

    super::keeps_the_contract!(sealed_embedded);
}

#[tokio::test]
async fn jobs_of_a_former_key_are_read_and_done() {
    sealed::jobs_of_a_former_key_are_read_and_done(&mut embedded().await).await;
}

#[tokio::test]
async fn without_its_key_a_job_waits_and_says_what_is_open() {
    sealed::without_its_key_a_job_waits_and_says_what_is_open(&mut embedded().await).await;
}

#[tokio::test]
async fn without_its_key_the_deployment_keeps_its_secrets() {
    sealed::without_its_key_the_deployment_keeps_its_secrets(&mut embedded().await).await;
}

#[tokio::test]
async fn without_its_key_a_job_takes_nothing_of_a_limit() {
    sealed::without_its_key_a_job_takes_nothing_of_a_limit(&mut embedded().await).await;
}

#[tokio::test]
async fn without_its_key_a_job_can_be_cancelled() {
    sealed::without_its_key_a_job_can_be_cancelled(&mut embedded().await).await;
}

#[tokio::test]
async fn jobs_of_before_are_read_after_sealing_began_and_ended() {
    sealed::jobs_of_before_are_read_after_sealing_began_and_ended(&mut embedded().await).await;
}

/// The texts that a folder shows in any of its files.
fn shown(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(shown(&path, texts));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let shows = |text: &&&str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        found.extend(texts.iter().filter(shows).map(|text| format!("{text} in {}", path.display())));
    }
    found
}

#[tokio::test]
async fn nothing_of_a_job_shows_in_the_files_of_a_store_that_seals() {
    let mut store = sealed_embedded().await;
    jobs_of_all_kinds(&store.0.store).await;
    let key = store.0.store.deployment().await.unwrap().credential_key;
    let folder = store.0.folder.path().to_owned();
    assert_eq!(shown(&folder, &SECRETS), [""; 0], "while it runs");
    store.0.store.close().await;
    assert_eq!(shown(&folder, &SECRETS), [""; 0], "at rest");
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(key.len()).any(|part| part == key), "the key of the hashes");
    }
    store.reopen().await;
    // The same search finds what is there when nothing is sealed.
    let plain = embedded().await;
    jobs_of_all_kinds(&plain.store).await;
    assert!(shown(plain.folder.path(), &SECRETS).len() > 3);
}

#[tokio::test]
async fn a_check_counts_the_jobs_of_each_key() {
    let mut store = embedded().await;
    jobs_of_all_kinds(&store.store).await;
    let (old, new) = (Arc::new(Keyring::of(&["old"])), Arc::new(Keyring::of(&["new"])));
    for keys in [&old, &new] {
        store.reopen_with(keys).await;
        store.store.submit(secret_job()).await.unwrap();
    }
    store.store.close().await;
    let check = |keys: &Keyring| once_let_go(|| super::super::verify(store.folder.path(), keys)).unwrap();
    let ids = [&old, &new].map(|keys| keys.sealing_id());
    let expected = KeyUse { jobs: [(None, 8), (ids[0], 1), (ids[1], 1)].into() };
    for keys in [&*new, &Keyring::default()] {
        let found = check(keys);
        assert_eq!((found.findings, found.keys), (Vec::new(), expected.clone()), "{keys:?}");
    }
}

//! `new_blob` and `open_blob`.

use futures_util::TryStreamExt;

use super::*;
use crate::job::BlobRef;
use crate::store::{BlobWriter, Content, StoreError};

/// Bytes that repeat nowhere soon.
fn bytes(length: usize) -> Bytes {
    let mut seed = 1_u32;
    (0..length)
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        })
        .collect::<Vec<u8>>()
        .into()
}

async fn written(store: &dyn JobStore, bytes: &Bytes, chunk: usize) -> (Box<dyn BlobWriter>, BlobRef) {
    written_in(&queue(), store, bytes, chunk).await
}

async fn written_in(
    queue: &QueueName,
    store: &dyn JobStore,
    bytes: &Bytes,
    chunk: usize,
) -> (Box<dyn BlobWriter>, BlobRef) {
    let mut writer = store.new_blob(queue).await.unwrap();
    for chunk in bytes.chunks(chunk) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let blob = writer.finish().await.unwrap();
    (writer, blob)
}

async fn read(store: &dyn JobStore, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
    let chunks: Vec<Bytes> = store.open_blob(blob).await?.try_collect().await?;
    Ok(chunks.concat())
}

pub(in super::super) async fn a_blob_comes_back_as_it_was_written(backend: &mut impl Backend) {
    let store = backend.store();
    let bytes = bytes(1_000_003);
    for chunk in [777, 64 * 1024, 400_000, 2_000_000] {
        let (_writer, blob) = written(store, &bytes, chunk).await;
        assert_eq!(blob.length, 1_000_003);
        assert_eq!(blob.checksum == crc32fast::hash(&bytes), blob.seal.is_none());
        assert!(read(store, &blob).await.unwrap() == bytes, "in chunks of {chunk}");
    }
}

pub(in super::super) async fn an_empty_blob_is_a_blob(backend: &mut impl Backend) {
    let store = backend.store();
    let (_writer, blob) = written(store, &Bytes::new(), 1).await;
    assert_eq!(blob.length, 0);
    assert!(read(store, &blob).await.unwrap().is_empty());
}

pub(in super::super) async fn a_large_body_travels_with_its_job(backend: &mut impl Backend) {
    let bytes = bytes(600_000);
    let (writer, blob) = written(backend.store(), &bytes, 10_000).await;
    let job = NewJob { body: Body::Blob(blob), ..job() };
    let id = job.request.id;
    backend.store().submit(job).await.unwrap();
    writer.keep();
    backend.reopen().await;
    backend.store().upkeep().await.unwrap();

    let store = backend.store();
    let leased = leased(store).await;
    assert_eq!(leased.body, Body::Blob(blob));
    assert!(read(store, &blob).await.unwrap() == bytes);
    let (writer, answer) = written(store, &bytes.slice(1..), 10_000).await;
    let response = StoredResponse { body: Body::Blob(answer), ..response(200, "") };
    store.settle(&leased.lease, Verdict::Complete(response.clone())).await.unwrap();
    writer.keep();
    backend.advance(RETENTION / 2).await;
    store.upkeep().await.unwrap();
    let Content::Ready(stored) = store.response(id).await.unwrap() else { panic!("no response") };
    assert_eq!(stored, response);
    assert!(read(store, &answer).await.unwrap() == bytes[1..]);
}

pub(in super::super) async fn a_large_body_in_another_queue_than_the_first_travels_with_its_job(
    backend: &mut impl Backend,
) {
    let store = backend.store();
    submitted(store).await;
    let (second, bytes) = (QueueName::new("second").unwrap(), bytes(600_000));
    let (writer, blob) = written_in(&second, store, &bytes, 10_000).await;
    let job = NewJob { queue: second.clone(), body: Body::Blob(blob), ..job() };
    let id = job.request.id;
    assert_eq!(store.submit(job).await.unwrap(), Submitted::New);
    writer.keep();

    let leased = store.lease(&second, 2).await.unwrap().pop().expect("a job is due");
    assert_eq!((leased.lease.id, leased.body), (id, Body::Blob(blob)));
    assert!(read(store, &blob).await.unwrap() == bytes);
    let (writer, answer) = written_in(&second, store, &bytes.slice(1..), 10_000).await;
    let response = StoredResponse { body: Body::Blob(answer), ..response(200, "") };
    store.settle(&leased.lease, Verdict::Complete(response.clone())).await.unwrap();
    writer.keep();
    let Content::Ready(stored) = store.response(id).await.unwrap() else { panic!("no response") };
    assert_eq!(stored, response);
    assert!(read(store, &answer).await.unwrap() == bytes[1..]);
    assert!(store.cancel(id).await.unwrap());
    gone(store, &blob).await;
    gone(store, &answer).await;
}

/// Waits until a blob is gone.
async fn gone(store: &dyn JobStore, blob: &BlobRef) {
    let gone = async {
        while store.open_blob(blob).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the blob is removed");
}

pub(in super::super) async fn a_dropped_blob_leaves_nothing_behind(backend: &mut impl Backend) {
    let store = backend.store();
    let mut unfinished = store.new_blob(&queue()).await.unwrap();
    unfinished.write(bytes(300_000)).await.unwrap();
    drop(unfinished);
    let (writer, blob) = written(store, &bytes(10), 10).await;
    drop(writer);
    gone(store, &blob).await;
}

pub(in super::super) async fn a_blob_goes_with_its_job(backend: &mut impl Backend) {
    let store = backend.store();
    let (writer, body) = written(store, &bytes(10), 10).await;
    let job = NewJob { body: Body::Blob(body), ..job() };
    let id = job.request.id;
    store.submit(job).await.unwrap();
    writer.keep();
    let (writer, answer) = written(store, &bytes(20), 10).await;
    let response = StoredResponse { body: Body::Blob(answer), ..response(200, "") };
    store.settle(&leased(store).await.lease, Verdict::Complete(response)).await.unwrap();
    writer.keep();
    store.cancel(id).await.unwrap();
    gone(store, &body).await;
    gone(store, &answer).await;

    let (writer, body) = written(store, &bytes(10), 10).await;
    store.submit(NewJob { body: Body::Blob(body), ..super::job() }).await.unwrap();
    writer.keep();
    store.settle(&leased(store).await.lease, failure()).await.unwrap();
    backend.advance(RETENTION).await;
    store.upkeep().await.unwrap();
    gone(store, &body).await;
}

pub(in super::super) async fn a_kept_blob_that_no_job_refers_to_is_swept(backend: &mut impl Backend) {
    let store = backend.store();
    store.upkeep().await.unwrap();
    let (writer, blob) = written(store, &bytes(10), 10).await;
    writer.keep();
    assert!(read(store, &blob).await.is_ok());
    backend.advance(Duration::from_hours(1)).await;
    store.upkeep().await.unwrap();
    gone(store, &blob).await;
}

pub(in super::super) async fn a_blob_in_the_making_is_not_swept(backend: &mut impl Backend) {
    let store = backend.store();
    store.upkeep().await.unwrap();
    let mut unfinished = store.new_blob(&queue()).await.unwrap();
    unfinished.write(bytes(300_000)).await.unwrap();
    let (finished, blob) = written(store, &bytes(10), 10).await;
    backend.advance(Duration::from_hours(1)).await;
    store.upkeep().await.unwrap();
    unfinished.write(bytes(5)).await.unwrap();
    let large = unfinished.finish().await.unwrap();
    assert_eq!(read(store, &large).await.unwrap().len(), 300_005);
    store.submit(NewJob { body: Body::Blob(blob), ..job() }).await.unwrap();
    finished.keep();
    assert!(read(store, &blob).await.is_ok());
}

pub(in super::super) async fn a_finished_blob_can_be_finished_again(backend: &mut impl Backend) {
    let store = backend.store();
    let (mut writer, blob) = written(store, &bytes(10), 10).await;
    assert_eq!(writer.finish().await.unwrap(), blob);
}

//! How large bodies lie in Redis: in chunks.

use bytes::Bytes;
use futures_util::TryStreamExt;
use uuid::Uuid;

use super::super::scripts::Chunk;
use super::faults::in_the_end;
use super::*;
use crate::job::BlobRef;
use crate::store::{BlobStore, StoreError};

/// A blob in chunks of these lengths.
async fn blob_of(redis: &InRedis, lengths: &[usize]) -> (BlobRef, Vec<u8>) {
    let shared = &redis.store.shared;
    let queue = shared.queues.named(queue().as_str());
    let (blob, mut all) = (Uuid::new_v4(), Vec::new());
    for (number, length) in (0..).zip(lengths) {
        let bytes = vec![b'a' + u8::try_from(number).unwrap(); *length];
        shared.commands.call(&queue.keys, Chunk { blob, number, bytes: &bytes }).await.unwrap();
        all.extend(bytes);
    }
    (BlobRef { id: blob, length: all.len() as u64, checksum: crc32fast::hash(&all), seal: None }, all)
}

async fn read(redis: &InRedis, blob: &BlobRef) -> Result<Vec<u8>, StoreError> {
    Ok(redis.store.open_blob(blob).await?.try_collect::<Vec<Bytes>>().await?.concat())
}

#[tokio::test]
async fn chunks_of_any_length_are_read() {
    let redis = in_redis().await;
    for lengths in [&[0][..], &[7], &[1 << 20, 1 << 20, 9], &[1, 64 << 10, 3], &[2; 10]] {
        let (blob, bytes) = blob_of(&redis, lengths).await;
        assert!(read(&redis, &blob).await.unwrap() == bytes, "{lengths:?}");
    }
}

#[tokio::test]
async fn a_missing_or_an_empty_chunk_is_damage() {
    let redis = in_redis().await;
    for lengths in [&[5][..], &[5, 0, 1]] {
        let (blob, _bytes) = blob_of(&redis, lengths).await;
        let longer = BlobRef { length: blob.length + 1, ..blob };
        let error = read(&redis, &longer).await.unwrap_err();
        assert!(error.to_string().contains("chunk 1 is not there"), "{error}");
    }
}

#[tokio::test]
async fn nothing_of_a_failed_write_counts() {
    let mut redis = in_redis().await;
    let mut writer = redis.store.new_blob(&queue()).await.unwrap();
    writer.write(Bytes::from_static(b"begun")).await.unwrap();
    redis.server.kill();
    let long = Bytes::from(vec![b'x'; 300_000]);
    writer.write(long.clone()).await.unwrap_err();
    redis.server.start_again().await;
    in_the_end(|| redis.store.ready()).await;
    writer.write(Bytes::from_static(b", ")).await.unwrap();
    writer.write(long.clone()).await.unwrap();
    let blob = writer.finish().await.unwrap();
    let expected = [b"begun, ", &long[..]].concat();
    assert_eq!(blob.length, expected.len() as u64);
    assert!(read(&redis, &blob).await.unwrap() == expected);
}

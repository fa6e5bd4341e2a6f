use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::lock::lock;

/// A blob in memory, which can refuse to be written.
#[derive(Clone, Debug, Default)]
struct Plain {
    bytes: Arc<Mutex<Vec<u8>>>,
    refusals: Arc<Mutex<usize>>,
}

#[async_trait]
impl BlobWriter for Plain {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        let mut refusals = lock(&self.refusals);
        if *refusals > 0 {
            *refusals -= 1;
            return Err(StoreError::Closed);
        }
        lock(&self.bytes).extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(&mut self) -> Result<BlobRef, StoreError> {
        let bytes = lock(&self.bytes);
        let checksum = crc32fast::hash(&bytes);
        Ok(BlobRef { id: Uuid::nil(), length: bytes.len() as u64, checksum, seal: None })
    }

    fn keep(self: Box<Self>) {}
}

/// A body, sealed as it came in these pieces.
async fn sealed(keys: &Keyring, pieces: &[&[u8]]) -> (BlobRef, Vec<u8>) {
    let plain = Plain::default();
    let mut writer = sealing(Box::new(plain.clone()), keys);
    for piece in pieces {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let blob = writer.finish().await.unwrap();
    let bytes = lock(&plain.bytes).clone();
    (blob, bytes)
}

/// What is read of stored bytes that come in pieces of this length.
async fn read(keys: &Keyring, blob: &BlobRef, bytes: &[u8], piece: usize) -> Result<Vec<u8>, StoreError> {
    let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let opened = opened(stream::iter(pieces).boxed(), blob, keys)?;
    Ok(opened.try_collect::<Vec<Bytes>>().await?.concat())
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn is_refused(read: &Result<Vec<u8>, StoreError>) -> bool {
    matches!(read, Err(StoreError::CorruptBlob { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_body_comes_back_however_it_came(
        length in prop_oneof![0..10_usize, CHUNK_BYTES - 2..CHUNK_BYTES + 3, 2 * CHUNK_BYTES - 1..3 * CHUNK_BYTES],
        piece in 1..200_000_usize,
        read_piece in 1000..200_000_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (keys, body) = (Keyring::of(&["one"]), body(length));
            let (blob, bytes) = sealed(&keys, &body.chunks(piece).collect::<Vec<_>>()).await;
            assert_eq!(blob.length, length as u64);
            let known = stored(&blob);
            assert_eq!((known.length, known.checksum), (bytes.len() as u64, crc32fast::hash(&bytes)));
            assert!(read(&keys, &blob, &bytes, read_piece).await.unwrap() == body);
        });
    }
}

#[tokio::test]
async fn without_a_key_nothing_changes() {
    let (blob, bytes) = sealed(&Keyring::default(), &[b"plain"]).await;
    assert_eq!((blob.seal, &bytes[..], stored(&blob)), (None, &b"plain"[..], blob));
    assert_eq!(read(&Keyring::default(), &blob, &bytes, 9).await.unwrap(), b"plain");
}

#[tokio::test]
async fn exchanged_cut_reordered_and_repeated_chunks_are_refused() {
    const SEALED: usize = CHUNK_BYTES + TAG_BYTES;
    let keys = Keyring::of(&["one"]);
    let body = body(3 * CHUNK_BYTES);
    let (blob, bytes) = sealed(&keys, &[&body]).await;
    let (other, others) = sealed(&keys, &[&body]).await;
    let [first, second, third] = [0, 1, 2].map(|number| &bytes[number * SEALED..(number + 1) * SEALED]);
    let exchanged = [first, &others[SEALED..2 * SEALED], third].concat();
    let reordered = [second, first, third].concat();
    let repeated = [first, first, third].concat();
    for (what, changed) in [("exchanged", &exchanged), ("reordered", &reordered), ("repeated", &repeated)] {
        assert!(is_refused(&read(&keys, &blob, changed, SEALED).await), "{what}");
    }
    // Cut where a chunk ends, and a shorter length promised by whoever changed that, too.
    let cut = &bytes[..2 * SEALED];
    assert!(is_refused(&read(&keys, &blob, cut, SEALED).await), "cut");
    let shorter = BlobRef { length: 2 * CHUNK_BYTES as u64, ..blob };
    assert!(is_refused(&read(&keys, &shorter, cut, SEALED).await), "cut, with its length");
    assert!(is_refused(&read(&keys, &blob, &bytes[..bytes.len() - 1], SEALED).await), "cut in a chunk");
    assert!(is_refused(&read(&keys, &blob, &others, SEALED).await), "another body");
    assert!(is_refused(&read(&keys, &other, &bytes, SEALED).await), "another body's seal");
    assert!(read(&keys, &blob, &bytes, SEALED).await.unwrap() == body);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_refused() {
    let keys = Keyring::of(&["one"]);
    let (blob, bytes) = sealed(&keys, &[&body(100)]).await;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(is_refused(&read(&keys, &blob, &changed, 1000).await), "{at}");
    }
}

#[tokio::test]
async fn without_its_key_a_body_is_not_read() {
    let keys = Keyring::of(&["one"]);
    let (blob, bytes) = sealed(&keys, &[b"secret"]).await;
    let refused = read(&Keyring::of(&["two"]), &blob, &bytes, 9).await;
    let missing = keys.sealing_id().unwrap();
    assert!(matches!(refused, Err(StoreError::BlobKeyUnknown { key, .. }) if key == missing), "{refused:?}");
}

#[tokio::test]
async fn what_the_store_did_not_take_is_written_again() {
    let (keys, plain) = (Keyring::of(&["one"]), Plain::default());
    let mut writer = sealing(Box::new(plain.clone()), &keys);
    let body = body(2 * CHUNK_BYTES + 5);
    let (first, second) = body.split_at(CHUNK_BYTES / 2);
    writer.write(Bytes::copy_from_slice(first)).await.unwrap();
    *lock(&plain.refusals) = 2;
    for expected in [false, false, true] {
        assert_eq!(writer.write(Bytes::copy_from_slice(second)).await.is_ok(), expected);
    }
    *lock(&plain.refusals) = 1;
    assert!(writer.finish().await.is_err());
    let blob = writer.finish().await.unwrap();
    assert_eq!(writer.finish().await.unwrap(), blob, "finished once");
    let bytes = lock(&plain.bytes).clone();
    assert!(read(&keys, &blob, &bytes, 9999).await.unwrap() == body);
}

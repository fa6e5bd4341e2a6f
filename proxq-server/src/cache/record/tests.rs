use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::cache::key::key;
use crate::config::KeyExclusions;
use crate::job::JobRequest;

static KEY: LazyLock<Key> = LazyLock::new(|| key(&JobRequest::sample(), &[1; 32], &KeyExclusions::default()));

const AT: Timestamp = Timestamp::from_millis(1_767_225_600_123);
const FRESHNESS: Freshness = Freshness { age: Duration::from_secs(7), lifetime: Duration::from_millis(1500) };

fn sealed(head: &ResponseHead, pieces: &[&[u8]]) -> Bytes {
    let mut record = Writing::begin(AT, FRESHNESS, head, pieces.iter().map(|piece| piece.len() as u64).sum());
    let room = record.0.capacity();
    for piece in pieces {
        record.append(piece);
    }
    let record = record.finish(&KEY);
    assert_eq!(record.len(), room, "it takes the memory that was reckoned with");
    record
}

fn sample() -> Bytes {
    let headers = HeaderMap::from_iter([(http::header::AGE, HeaderValue::from_static("1"))]);
    let reason = Some(ReasonPhrase::from_static(b"Fine"));
    sealed(&ResponseHead { status: StatusCode::OK, reason, headers }, &[b"body"])
}

#[test]
fn a_body_is_given_where_it_lies() {
    let record = sample();
    let body = open(&KEY, record.clone()).unwrap().body;
    assert!(record.as_ptr_range().contains(&body.as_ptr()), "without a copy");
    assert_eq!(body, "body");
}

#[test]
fn damage_is_found_wherever_it_is() {
    let record = sample();
    for index in 0..record.len() {
        let mut damaged = record.to_vec();
        damaged[index] ^= 1;
        assert_eq!(open(&KEY, damaged.into()), Err(Unreadable::Damaged), "byte {index}");
        assert_eq!(open(&KEY, record.slice(..index)), Err(Unreadable::Damaged), "cut at {index}");
    }
    let stray = key(&JobRequest::sample(), &[2; 32], &KeyExclusions::default());
    assert_eq!(open(&stray, record), Err(Unreadable::Damaged), "under another key");
}

#[test]
fn a_later_version_is_no_damage() {
    let mut later = vec![VERSION + 1];
    later.extend_from_slice(b"whatever");
    let checksum = checksum(&KEY, &later);
    later.put_u32_le(checksum);
    assert_eq!(open(&KEY, later.into()), Err(Unreadable::Newer(VERSION + 1)));
}

#[test]
fn fields_that_promise_more_than_there_is_are_damage() {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&[0; 20]);
    bytes.put_u16_le(200);
    bytes.put_u32_le(0);
    bytes.put_u32_le(u32::MAX);
    bytes.put_u32_le(u32::MAX);
    let checksum = checksum(&KEY, &bytes);
    bytes.put_u32_le(checksum);
    assert_eq!(open(&KEY, bytes.into()), Err(Unreadable::Damaged));
}

#[test]
fn a_reason_phrase_that_promises_more_than_there_is_is_damage() {
    let mut bytes = vec![VERSION];
    bytes.put_u16_le(200);
    bytes.put_u32_le(2);
    let checksum = checksum(&KEY, &bytes);
    bytes.put_u32_le(checksum);
    assert_eq!(open(&KEY, bytes.into()), Err(Unreadable::Damaged));
}

proptest! {
    #[test]
    fn a_response_comes_back_as_it_was(
        status in 200_u16..1000,
        reason in option::of("[ -~]{0,20}"),
        fields in vec(("[a-z][a-z0-9-]{0,9}", "[ -~\u{80}-\u{ff}]{0,20}"), 0..6),
        body in vec(any::<u8>(), 0..100),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        let reason = reason.map(|reason| ReasonPhrase::try_from(reason).unwrap());
        let head = ResponseHead { status: StatusCode::from_u16(status).unwrap(), reason, headers };
        let cut = cut.index(body.len() + 1);
        let record = sealed(&head, &[&body[..cut], &body[cut..]]);
        prop_assert_eq!(open(&KEY, record).unwrap(), Kept { at: AT, freshness: FRESHNESS, head, body: body.into() });
    }
}

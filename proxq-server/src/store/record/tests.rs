use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::ext::ReasonPhrase;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::config::SecretHeaders;
use crate::job::{
    AttemptRecord, BlobRef, Body, CredentialHash, Delivery, JobRequest, Outcome, Priority, Reach, ResponseHead,
    StoredResponse, TimeBounds,
};

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof!["[a-z][a-z0-9-]{0,12}", Just("authorization".to_owned()), Just("x-dup".to_owned())];
    let value = vec(prop_oneof![Just(b'\t'), 32..=126_u8, 128..=255_u8], 0..30);
    vec((name, value, any::<bool>()), 0..12)
        .prop_map(|fields| {
            let field = |(name, value, sensitive): (String, Vec<u8>, bool)| {
                let mut value = HeaderValue::from_bytes(&value).unwrap();
                value.set_sensitive(sensitive);
                (HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
            };
            fields.into_iter().map(field).collect::<Vec<_>>()
        })
        .prop_map(|fields| {
            let mut headers = HeaderMap::new();
            headers.extend(fields);
            headers
        })
}

fn body() -> impl Strategy<Value = Body> {
    let blob = (any::<u128>(), any::<u64>(), any::<u32>());
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(|bytes| Body::Inline(bytes.into())),
        blob.prop_map(|(id, length, checksum)| Body::Blob(BlobRef { id: Uuid::from_u128(id), length, checksum })),
    ]
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_millis)
}

prop_compose! {
    fn request()(
        texts in vec(any::<String>(), 4),
        method in "[A-Z]{1,8}",
        target in "https?://[a-z]{1,9}(:[1-9][0-9]{0,3})?/[a-zA-Z0-9/.%'|~-]{0,30}(\\?[a-z=&%']{0,20})?",
        headers in headers(),
        added_headers in headers(),
        created_at in timestamp(),
        spans in (any::<u64>(), any::<u64>()),
        delivery in prop_oneof![Just(Delivery::Auto), Just(Delivery::AtLeastOnce), Just(Delivery::AtMostOnce)],
        priority in select(Priority::ALL.to_vec()),
        idempotent: bool,
        owner in option::of(any::<String>()),
        credential: [u8; 32],
        idempotency_key in option::of(vec(any::<u8>(), 0..20)),
        client: IpAddr,
        body_sha256: Option<[u8; 32]>,
        bounds: (Option<u64>, Option<u64>),
        is_resubmitted: bool,
    ) -> JobRequest {
        let [upstream, path, request_id, _] = texts.try_into().unwrap();
        JobRequest {
            id: JobId::new(),
            upstream,
            method: Method::from_bytes(method.as_bytes()).unwrap(),
            path,
            target: target.parse().unwrap(),
            headers,
            added_headers,
            created_at,
            timeout: Duration::from_millis(spans.0),
            priority,
            delivery,
            idempotent,
            owner,
            credential: CredentialHash(credential),
            idempotency_key,
            client,
            request_id,
            retention: Duration::from_millis(spans.1),
            body_sha256,
            bounds: TimeBounds {
                start_within: bounds.0.map(Duration::from_millis),
                deadline: bounds.1.map(Duration::from_millis),
            },
            resubmit_of: is_resubmitted.then(JobId::new),
            secret_names: Vec::new(),
        }
    }
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![Just(Reach::NotSent), Just(Reach::Unknown), Just(Reach::Responded)]
}

prop_compose! {
    fn attempt()(
        number: u32,
        instants in (timestamp(), timestamp()),
        reach in reach(),
        status: Option<u16>,
        instance: String,
    ) -> AttemptRecord {
        AttemptRecord { number, started_at: instants.0, ended_at: instants.1, reach, status, instance }
    }
}

prop_compose! {
    fn progress()(
        counts: (u32, u32, u32),
        instants in vec(option::of(timestamp()), 3),
        reach in option::of(reach()),
        last_error: Option<String>,
        outcome in option::of(prop_oneof![
            Just(Outcome::Responded), Just(Outcome::NotSent), Just(Outcome::Indeterminate)
        ]),
        history in vec(attempt(), 0..5),
        instance: String,
        expired: bool,
    ) -> Progress {
        Progress {
            attempts: counts.0,
            retried: counts.1,
            lease_losses: counts.2,
            started_at: instants[0],
            attempt_started_at: instants[1],
            ended_at: instants[2],
            due_at: None,
            reach,
            last_error,
            outcome,
            expired,
            history: VecDeque::from(history),
            instance,
        }
    }
}

/// Equal to the last flag that `==` does not look at.
fn written(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}")
}

proptest! {
    #[test]
    fn a_request_comes_back_from_its_two_records(request in request(), body in body()) {
        let id = request.id;
        let mut public = request.clone();
        let secrets = Secrets::take(&mut public, &SecretHeaders::default());
        prop_assert!(!public.headers.contains_key("authorization"));
        prop_assert_eq!(secrets.is_some(), request.headers.contains_key("authorization")
            || request.added_headers.contains_key("authorization"));
        let names = public.secret_names.clone();
        prop_assert_eq!(names.iter().any(|name| name == "authorization"), secrets.is_some());
        let facts = Facts::new(public, &body).encode(id);

        let mut read = Facts::decode(id, facts.into()).unwrap();
        if let Some(secrets) = secrets {
            Secrets::decode(id, secrets.encode(id).into()).unwrap().put_back(&mut read.request);
        }
        for (read, request) in [
            (&read.request.headers, &request.headers),
            (&read.request.added_headers, &request.added_headers),
        ] {
            prop_assert_eq!(read, request, "each name with its values in order");
            prop_assert_eq!(sensitive(read), sensitive(request));
        }
        let without_headers = |request: &JobRequest| {
            let (headers, added_headers) = (HeaderMap::new(), HeaderMap::new());
            written(&JobRequest { headers, added_headers, secret_names: Vec::new(), ..request.clone() })
        };
        prop_assert_eq!(without_headers(&read.request), without_headers(&request));
        prop_assert_eq!(&read.request.secret_names, &names);
        prop_assert_eq!(read.body.body(beside(&body).to_vec()), Some(body));
    }

    #[test]
    fn progress_comes_back(progress in progress()) {
        let id = JobId::new();
        prop_assert_eq!(Progress::decode(id, progress.encode(id).into()).unwrap(), progress);
    }

    #[test]
    fn a_response_comes_back(
        status in 100..=999_u16,
        reason in option::of("[ -~]{0,20}"),
        headers in headers(),
        body in body(),
    ) {
        let id = JobId::new();
        let reason = reason.map(|reason| ReasonPhrase::try_from(reason).unwrap());
        let head = ResponseHead { status: StatusCode::from_u16(status).unwrap(), reason, headers };
        let response = StoredResponse { head, body };
        let read = Head::decode(id, Head::of(&response).encode(id).into()).unwrap();
        prop_assert_eq!(&read.head, &response.head);
        prop_assert_eq!(read.body.body(beside(&response.body).to_vec()), Some(response.body));
    }

    #[test]
    fn any_flipped_bit_is_found_out(request in request(), body in body(), at: prop::sample::Index, bit in 0..8) {
        let id = request.id;
        let facts = Facts::new(request, &body);
        let mut record = facts.encode(id);
        let at = at.index(record.len());
        record[at] ^= 1_u8 << bit;
        let found_out = matches!(Facts::decode(id, record.into()), Err(StoreError::CorruptJob { what: "request", .. }));
        prop_assert!(found_out);
    }

    #[test]
    fn any_other_body_is_found_out(bytes in vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8) {
        let fields = BodyFields::of(&Body::Inline(bytes.clone().into()));
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1_u8 << bit;
        prop_assert_eq!(fields.body(flipped), None);
        prop_assert_eq!(fields.body(bytes[1..].to_vec()), None);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
        let id = JobId::new();
        let _refused = Facts::decode(id, bytes.clone().into()).is_err();
        prop_assert!(Progress::decode(id, bytes.clone().into()).is_err());
        // Also behind a checksum that fits: a bug elsewhere must not end the process.
        let sealed = seal_bytes(Facts::NAME, id, &bytes);
        let _either = Facts::decode(id, sealed.into());
    }
}

fn sensitive(headers: &HeaderMap) -> Vec<(String, bool)> {
    let mut flags: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.is_sensitive())).collect();
    flags.sort_by(|a, b| a.0.cmp(&b.0)); // stable: within a name in order
    flags
}

fn seal_bytes(name: &str, id: JobId, content: &[u8]) -> Vec<u8> {
    let mut record = content.to_vec();
    record.put_u32_le(checksum(name, id, content));
    record
}

#[test]
fn a_record_belongs_to_its_job_and_its_place() {
    let id = JobId::new();
    let record = Progress::default().encode(id);
    assert!(Progress::decode(id, record.clone().into()).is_ok());
    assert!(matches!(Progress::decode(JobId::new(), record.clone().into()), Err(StoreError::CorruptJob { .. })));
    assert!(matches!(Secrets::decode(id, record.into()), Err(StoreError::CorruptJob { .. })));
}

#[test]
fn a_later_version_is_told_from_damage() {
    let id = JobId::new();
    for version in [2, 127, 128, 70_000, u32::MAX] {
        let record = seal(Progress::NAME, id, version, &progress::ProgressFields::of(&Progress::default()));
        assert!(is_newer(record[0]));
        let read = Progress::decode(id, record.into());
        assert!(matches!(read, Err(StoreError::NewerRecord { version: of, .. }) if of == version));
    }
    assert!(!is_newer(Progress::default().encode(id)[0]));
}

/// Version 1 as it was first written. Whatever is added later, this must go on being read.
#[test]
fn an_old_record_with_fewer_fields_is_read() {
    #[derive(prost::Message)]
    struct OldProgress {
        #[prost(uint32, tag = "1")]
        attempts: u32,
    }
    let id = JobId::new();
    let old = seal(Progress::NAME, id, VERSION, &OldProgress { attempts: 3 });
    let read = Progress::decode(id, old.into()).unwrap();
    assert_eq!(read, Progress { attempts: 3, ..Progress::default() });
}

#[test]
fn a_field_of_a_later_writer_is_passed_over() {
    #[derive(prost::Message)]
    struct LaterProgress {
        #[prost(uint32, tag = "1")]
        attempts: u32,
        #[prost(string, tag = "900")]
        unheard_of: String,
    }
    let id = JobId::new();
    let later = LaterProgress { attempts: 3, unheard_of: "x".to_owned() };
    let read = Progress::decode(id, seal(Progress::NAME, id, VERSION, &later).into()).unwrap();
    assert_eq!(read.attempts, 3);
}

/// What is on disks must go on being read; whoever changes these bytes adds the old ones as a test.
#[test]
fn the_bytes_of_version_1_stay_as_they_are() {
    let id: JobId = "550e8400-e29b-41d4-a716-446655440000".parse().unwrap();
    let hex = |record: Vec<u8>| format!("{:x}", Bytes::from(record));

    let mut progress = Progress::default();
    progress.begin_attempt(Timestamp::from_millis(1_000), "one");
    progress.end_attempt(Timestamp::from_millis(2_000), Reach::Responded, Some(200));
    assert_eq!(hex(progress.encode(id)), "01080120e80738035212080110e80718d00f200328c80132036f6e655a036f6e652e1d2617");

    let mut request = crate::store::contract::request(id);
    request.headers.append("authorization", HeaderValue::from_static("Bearer secret"));
    let secrets = Secrets::take(&mut request, &SecretHeaders::default()).unwrap();
    assert_eq!(hex(secrets.encode(id)), "010a1e0a0d617574686f72697a6174696f6e120d426561726572207365637265741fabf743");
    let with_names = "010a10550e8400e29b41d4a7164466554400001a042f6170692204504f53542a0c2f6170692f7265706f7274733221687474703a2f2f6170693a333030302f7265706f7274733f796561723d323032363a200a0c636f6e74656e742d7479706512106170706c69636174696f6e2f6a736f6e4a0708021543bfa6a35080d0eab6b73358b0ea0168017a2007070707070707070707070707070707070707070707070707070707070707078a0104c0000201920109612d72657175657374980180dddb01fa010d617574686f72697a6174696f6e0d29f6c3";
    assert_eq!(hex(Facts::new(request.clone(), &Body::Inline("{}".into())).encode(id)), with_names);
    request.secret_names.clear(); // as they were written before there were names
    let facts = Facts::new(request, &Body::Inline("{}".into()));
    assert_eq!(
        hex(facts.encode(id)),
        "010a10550e8400e29b41d4a7164466554400001a042f6170692204504f53542a0c2f6170692f7265706f7274733221687474703a2f2f6170693a333030302f7265706f7274733f796561723d323032363a200a0c636f6e74656e742d7479706512106170706c69636174696f6e2f6a736f6e4a0708021543bfa6a35080d0eab6b73358b0ea0168017a2007070707070707070707070707070707070707070707070707070707070707078a0104c0000201920109612d72657175657374980180dddb01c6014817"
    );
    let read = Facts::decode(id, facts.encode(id).into()).unwrap().request;
    assert!(read.resubmit_of.is_none() && read.secret_names.is_empty());
    let head = ResponseHead { status: StatusCode::OK, reason: None, headers: HeaderMap::new() };
    let response = StoredResponse { head, body: Body::Inline("ok".into()) };
    assert_eq!(hex(Head::of(&response).encode(id)), "0108c8011a0708021547dddc79bf2d4405");
}

//! asynq's protobuf messages, field for field. Written by hand from its wire format; there is nothing of ours in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};

/// A task, as the field `msg` of its hash has it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct TaskMessage {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) payload: Bytes,
    #[prost(string, tag = "3")]
    pub(super) id: String,
    #[prost(string, tag = "4")]
    pub(super) queue: String,
    /// How often it may be tried again.
    #[prost(int32, tag = "5")]
    pub(super) retry: i32,
    /// How often it was.
    #[prost(int32, tag = "6")]
    pub(super) retried: i32,
    #[prost(string, tag = "7")]
    pub(super) error_msg: String,
    /// In seconds, for one attempt.
    #[prost(int64, tag = "8")]
    pub(super) timeout: i64,
    /// In seconds since the epoch; 0 for none.
    #[prost(int64, tag = "9")]
    pub(super) deadline: i64,
    #[prost(string, tag = "10")]
    pub(super) unique_key: String,
    /// In seconds since the epoch; 0 for never.
    #[prost(int64, tag = "11")]
    pub(super) last_failed_at: i64,
    /// In seconds.
    #[prost(int64, tag = "12")]
    pub(super) retention: i64,
    /// In seconds since the epoch.
    #[prost(int64, tag = "13")]
    pub(super) completed_at: i64,
    #[prost(string, tag = "14")]
    pub(super) group_key: String,
    #[prost(btree_map = "string, string", tag = "15")]
    pub(super) headers: BTreeMap<String, String>,
}

/// The numbers of a task's fields that proxq changes.
pub(super) mod tag {
    pub(crate) const PAYLOAD: u32 = 2;
    pub(crate) const RETRY: u32 = 5;
    pub(crate) const RETRIED: u32 = 6;
    pub(crate) const ERROR_MSG: u32 = 7;
    pub(crate) const LAST_FAILED_AT: u32 = 11;
}

/// A task as it is stored. It may have fields that this proxq does not know.
#[derive(Clone, Debug, Default)]
pub(super) struct StoredTask {
    /// What is known of it.
    pub(super) known: TaskMessage,
    bytes: Bytes,
}

impl StoredTask {
    /// Reads a message.
    pub(super) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self { known: TaskMessage::decode(bytes.clone())?, bytes })
    }

    /// The message with the fields of these numbers as `changed` has them, and all others as they are stored.
    pub(super) fn with(&self, numbers: &[u32], changed: &TaskMessage) -> Vec<u8> {
        const WHOLE: &str = "it was decoded before";
        let (mut rest, mut message) = (&self.bytes[..], Vec::with_capacity(self.bytes.len()));
        while !rest.is_empty() {
            let field = rest;
            let (number, wire_type) = decode_key(&mut rest).expect(WHOLE);
            skip_field(wire_type, number, &mut rest, DecodeContext::default()).expect(WHOLE);
            if !numbers.contains(&number) {
                message.extend_from_slice(&field[..field.len() - rest.len()]);
            }
        }
        changed.encode(&mut message).expect("a vector has room");
        message
    }
}

/// An instant, as protobuf's well-known type has it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Instant {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// A server that lives.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ServerInfo {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(int32, tag = "2")]
    pub(super) pid: i32,
    #[prost(string, tag = "3")]
    pub(super) server_id: String,
    #[prost(int32, tag = "4")]
    pub(super) concurrency: i32,
    /// Each queue with its priority.
    #[prost(btree_map = "string, int32", tag = "5")]
    pub(super) queues: BTreeMap<String, i32>,
    #[prost(bool, tag = "6")]
    pub(super) strict_priority: bool,
    #[prost(string, tag = "7")]
    pub(super) status: String,
    #[prost(message, optional, tag = "8")]
    pub(super) start_time: Option<Instant>,
    #[prost(int32, tag = "9")]
    pub(super) active_worker_count: i32,
}

/// A task that a server works on. Ours leave the payload out.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct WorkerInfo {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(int32, tag = "2")]
    pub(super) pid: i32,
    #[prost(string, tag = "3")]
    pub(super) server_id: String,
    #[prost(string, tag = "4")]
    pub(super) task_id: String,
    #[prost(string, tag = "5")]
    pub(super) task_type: String,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) task_payload: Bytes,
    #[prost(string, tag = "7")]
    pub(super) queue: String,
    #[prost(message, optional, tag = "8")]
    pub(super) start_time: Option<Instant>,
    #[prost(message, optional, tag = "9")]
    pub(super) deadline: Option<Instant>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(message: &impl Message) -> String {
        format!("{:x}", Bytes::from(message.encode_to_vec()))
    }

    /// What asynq itself reads and writes for the same values.
    #[test]
    fn messages_have_the_bytes_of_asynq() {
        let task = TaskMessage {
            kind: "demo:ping".to_owned(),
            payload: "{}".into(),
            id: "t-1".to_owned(),
            queue: "q1".to_owned(),
            retry: 3,
            timeout: 60,
            retention: 3600,
            headers: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ..TaskMessage::default()
        };
        let bytes = "0a0964656d6f3a70696e6712027b7d1a03742d31220271312803403c60901c7a060a016b120176";
        assert_eq!(hex(&task), bytes);
        assert_eq!(TaskMessage::decode(&*task.encode_to_vec()).unwrap(), task);

        let server = ServerInfo {
            host: "box".to_owned(),
            pid: 42,
            server_id: "srv-1".to_owned(),
            concurrency: 10,
            queues: BTreeMap::from([("q1".to_owned(), 1)]),
            status: "active".to_owned(),
            start_time: Some(Instant { seconds: 1_700_000_000, nanos: 5 }),
            active_worker_count: 2,
            ..ServerInfo::default()
        };
        let bytes = "0a03626f78102a1a057372762d31200a2a060a02713110013a0661637469766542080880e2cfaa0610054802";
        assert_eq!(hex(&server), bytes);

        let never = Instant { seconds: -62_135_596_800, nanos: 0 };
        assert_eq!(hex(&never), "088092b8c398feffffff01");
    }

    /// A field of a number that asynq has not given away yet, of each wire type.
    const UNKNOWN: [&[u8]; 4] = [b"\xf8\x01\x96\x01", b"\xfa\x01\x03new", b"\xf9\x0112345678", b"\xfd\x011234"];

    proptest! {
        #[test]
        fn a_rewrite_changes_nothing_but_what_it_is_told(
            order in Just(UNKNOWN.to_vec()).prop_shuffle(),
            split in 0_usize..=4,
            payload in ".*",
            [retry, retried, new] in [0_i32.., 0_i32.., 0_i32..],
        ) {
            let known = TaskMessage { payload: payload.into(), retry, retried, ..TaskMessage::default() };
            let (before, after) = (order[..split].concat(), order[split..].concat());
            let stored = [&before[..], &known.encode_to_vec(), &after].concat();
            let task = StoredTask::decode(stored.into()).unwrap();
            prop_assert_eq!(&task.known, &known);
            let changed = TaskMessage { retried: new, ..TaskMessage::default() };
            let rewritten = task.with(&[tag::RETRIED, tag::ERROR_MSG], &changed);
            let expected = TaskMessage { retried: new, ..known };
            prop_assert_eq!(TaskMessage::decode(&rewritten[..]).unwrap(), expected);
            for unknown in UNKNOWN {
                prop_assert!(rewritten.windows(unknown.len()).any(|part| part == unknown));
            }
            let again = StoredTask::decode(rewritten.clone().into()).unwrap();
            prop_assert_eq!(again.with(&[tag::RETRIED], &changed), rewritten, "it does not grow");
        }
    }

    #[test]
    fn of_a_field_that_was_appended_the_last_one_counts() {
        let before = TaskMessage { error_msg: "first".to_owned(), retried: 4, ..TaskMessage::default() };
        let mut bytes = before.encode_to_vec();
        bytes.extend(b"\x3a\x06second\x58\x05\x30\x00");
        let after = TaskMessage::decode(&*bytes).unwrap();
        assert_eq!((after.error_msg.as_str(), after.last_failed_at, after.retried), ("second", 5, 0));
    }
}

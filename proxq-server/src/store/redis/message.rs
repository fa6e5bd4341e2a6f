//! asynq's protobuf messages, field for field. Written by hand from its wire format; there is nothing of ours in them.

use std::collections::BTreeMap;

use bytes::Bytes;

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
    use prost::Message;

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

    #[test]
    fn of_a_field_that_was_appended_the_last_one_counts() {
        let before = TaskMessage { error_msg: "first".to_owned(), retried: 4, ..TaskMessage::default() };
        let mut bytes = before.encode_to_vec();
        bytes.extend(b"\x3a\x06second\x58\x05\x30\x00");
        let after = TaskMessage::decode(&*bytes).unwrap();
        assert_eq!((after.error_msg.as_str(), after.last_failed_at, after.retried), ("second", 5, 0));
    }
}

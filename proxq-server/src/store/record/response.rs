//! The head of a job's response.

use bytes::Bytes;
use http::StatusCode;
use hyper::ext::ReasonPhrase;

use super::fields::{BodyFields, HeaderField, body_of, header_fields, header_map};
use super::{Fields, Record};
use crate::job::ResponseHead;

/// The head of a response, and where its body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Status and headers.
    pub(crate) head: ResponseHead,
    /// What the body must be.
    pub(crate) body: BodyFields,
}

/// Where the body is.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct OpenHead {
    #[prost(message, optional, tag = "3")]
    body: Option<BodyFields>,
    // Reserved, for responses that grow while they are read: 4 whether it is complete, 5 bytes so far.
}

/// What the upstream answered.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct HiddenHead {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderField>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    reason: Option<Bytes>,
}

impl Record for Head {
    const NAME: &'static str = "response";
    type Open = OpenHead;
    type Hidden = HiddenHead;

    fn to_fields(&self) -> (OpenHead, HiddenHead) {
        let hidden = HiddenHead {
            status: self.head.status.as_u16().into(),
            headers: header_fields(&self.head.headers),
            reason: self.head.reason.clone().map(Bytes::from),
        };
        (OpenHead { body: Some(self.body) }, hidden)
    }

    fn from_fields(Fields { open, hidden, is_sealed }: Fields<Self>) -> Option<Self> {
        let is_locked = hidden == HiddenHead::default();
        let status =
            if is_locked { StatusCode::OK } else { StatusCode::from_u16(u16::try_from(hidden.status).ok()?).ok()? };
        let reason = hidden.reason.map(ReasonPhrase::try_from).transpose().ok()?;
        Some(Self {
            head: ResponseHead { status, reason, headers: header_map(hidden.headers)? },
            body: body_of(open.body, is_sealed)?,
        })
    }
}

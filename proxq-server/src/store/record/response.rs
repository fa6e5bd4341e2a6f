//! The head of a job's response.

use bytes::Bytes;
use http::StatusCode;
use hyper::ext::ReasonPhrase;

use super::Record;
use super::fields::{BodyFields, HeaderField, header_fields, header_map};
use crate::job::{ResponseHead, StoredResponse};

/// The head of a response, and where its body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Status and headers.
    pub(crate) head: ResponseHead,
    /// What the body must be.
    pub(crate) body: BodyFields,
}

impl Head {
    /// The head of this response.
    pub(crate) fn of(response: &StoredResponse) -> Self {
        Self { head: response.head.clone(), body: BodyFields::of(&response.body) }
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct HeadFields {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderField>,
    #[prost(message, optional, tag = "3")]
    body: Option<BodyFields>,
    #[prost(bytes = "bytes", optional, tag = "6")]
    reason: Option<Bytes>,
    // Reserved, for responses that grow while they are read: 4 whether it is complete, 5 bytes so far.
}

impl Record for Head {
    const NAME: &'static str = "response";
    type Fields = HeadFields;

    fn to_fields(&self) -> HeadFields {
        HeadFields {
            status: self.head.status.as_u16().into(),
            headers: header_fields(&self.head.headers),
            body: Some(self.body),
            reason: self.head.reason.clone().map(Bytes::from),
        }
    }

    fn from_fields(fields: HeadFields) -> Option<Self> {
        let status = StatusCode::from_u16(u16::try_from(fields.status).ok()?).ok()?;
        let reason = fields.reason.map(ReasonPhrase::try_from).transpose().ok()?;
        Some(Self { head: ResponseHead { status, reason, headers: header_map(fields.headers)? }, body: fields.body? })
    }
}

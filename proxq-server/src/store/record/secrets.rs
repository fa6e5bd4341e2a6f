//! The secret headers of a request, stored apart from it so that they can be forgotten.

use http::{HeaderMap, HeaderName};

use super::fields::{HeaderField, header_fields, header_map};
use super::{Fields, NoFields, Record};
use crate::config::SecretHeaders;
use crate::job::JobRequest;

/// The secret headers of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    headers: HeaderMap,
    added_headers: HeaderMap,
    is_sealed: bool,
}

impl Secrets {
    /// Takes what is secret out of a request, and leaves the names; `None` if nothing is.
    pub(crate) fn take(request: &mut JobRequest, names: &SecretHeaders) -> Option<Self> {
        let secrets = Self {
            headers: names.split_off(&mut request.headers),
            added_headers: names.split_off(&mut request.added_headers),
            is_sealed: false,
        };
        request.secret_names = secrets.names();
        (secrets != Self::default()).then_some(secrets)
    }

    /// Which headers are secret.
    pub(crate) fn names(&self) -> Vec<HeaderName> {
        let only_added = self.added_headers.keys().filter(|name| !self.headers.contains_key(*name));
        self.headers.keys().chain(only_added).cloned().collect()
    }

    /// Whether they were read from a record with a seal.
    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Puts the secrets back into the request that they were taken from.
    pub(crate) fn put_back(self, request: &mut JobRequest) {
        request.headers.extend(self.headers);
        request.added_headers.extend(self.added_headers);
    }
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct SecretsFields {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<HeaderField>,
    #[prost(message, repeated, tag = "2")]
    added_headers: Vec<HeaderField>,
}

impl Record for Secrets {
    const NAME: &'static str = "secret headers";
    type Open = NoFields;
    type Hidden = SecretsFields;

    fn to_fields(&self) -> (NoFields, SecretsFields) {
        let hidden =
            SecretsFields { headers: header_fields(&self.headers), added_headers: header_fields(&self.added_headers) };
        (NoFields {}, hidden)
    }

    fn from_fields(Fields { hidden, is_sealed, .. }: Fields<Self>) -> Option<Self> {
        let (headers, added_headers) = (header_map(hidden.headers)?, header_map(hidden.added_headers)?);
        Some(Self { headers, added_headers, is_sealed })
    }
}

//! The limits on the head of a response.

/// The most header fields of a response; the library's default of 100 would fail legitimate responses.
pub(super) const MAX_RESPONSE_HEADERS: usize = 512;
/// The largest response head, in bytes, as the sum of its fields: far more than legitimate upstreams send, and a bound on
/// the memory of a connection.
pub(super) const MAX_RESPONSE_HEAD_BYTES: usize = 256 * 1024;

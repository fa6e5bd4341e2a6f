//! The upstream's response, replayed from the store: status, headers and body, byte for byte.

use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::job::{Body, JobId, StoredResponse, ends_with_head};
use crate::reply::body::{self, Body as ReplyBody};
use crate::store::{BlobStore, JobAccess, StoreError};

/// Answers a `GET` or `HEAD` with a stored response.
pub(crate) async fn replay(
    stored: StoredResponse,
    asking: &Method,
    store: &dyn BlobStore,
) -> Result<Response<ReplyBody>, StoreError> {
    let StoredResponse { head, body: stored_body } = stored;
    let mut headers = head.headers;
    promise_what_comes(&mut headers, head.status, stored_body.length(), asking);
    let body = match stored_body {
        _ if *asking == Method::HEAD => body::empty(),
        Body::Inline(bytes) => body::full(bytes),
        Body::Blob(blob) => body::stream(store.open_blob(&blob).await?),
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    if let Some(reason) = head.reason {
        response.extensions_mut().insert(reason);
    }
    *response.headers_mut() = headers;
    Ok(response)
}

/// The same for a response that was read just now. `None` if its job has been removed since: a blob goes with its job, so
/// it is gone then, not damaged.
pub(crate) async fn replay_unless_removed(
    id: JobId,
    stored: StoredResponse,
    asking: &Method,
    store: &dyn JobAccess,
) -> Result<Option<Response<ReplyBody>>, StoreError> {
    match replay(stored, asking, store).await {
        Err(StoreError::CorruptBlob { .. }) if store.get(id).await?.is_none() => Ok(None),
        replayed => replayed.map(Some),
    }
}

/// Sets `Content-Length` to the length of what follows.
///
/// The upstream's own value may be wrong here: the response to a `HEAD`, a `204` and a `304` have no body, whatever their
/// heads say (RFC 9112 §6.3), so a `GET` of the stored response would wait for bytes that never come. The answer to a
/// `HEAD` keeps the upstream's value; if there was none, none is invented (RFC 9110 §8.6), since a `GET` of the upstream
/// might have had a body.
fn promise_what_comes(headers: &mut HeaderMap, status: StatusCode, length: u64, asking: &Method) {
    if length == 0 && *asking == Method::HEAD {
        return;
    }
    headers.remove(header::CONTENT_LENGTH);
    if !ends_with_head(status) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promised(status: u16, told: Option<u64>, length: u64, asking: &Method) -> Option<String> {
        let mut headers = HeaderMap::new();
        if let Some(told) = told {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(told));
        }
        promise_what_comes(&mut headers, StatusCode::from_u16(status).unwrap(), length, asking);
        headers.get(header::CONTENT_LENGTH).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_get_is_promised_only_what_comes() {
        assert_eq!(promised(200, Some(5), 5, &Method::GET).as_deref(), Some("5"));
        assert_eq!(promised(200, None, 5, &Method::GET).as_deref(), Some("5"), "it came in chunks");
        assert_eq!(promised(200, Some(1234), 0, &Method::GET).as_deref(), Some("0"), "the job was a HEAD");
        assert_eq!(promised(304, Some(1234), 0, &Method::GET), None);
        assert_eq!(promised(204, None, 0, &Method::GET), None);
    }

    #[test]
    fn a_head_is_told_what_the_upstream_said() {
        assert_eq!(promised(200, Some(1234), 0, &Method::HEAD).as_deref(), Some("1234"));
        assert_eq!(promised(200, None, 5, &Method::HEAD).as_deref(), Some("5"));
        assert_eq!(promised(200, None, 0, &Method::HEAD), None, "it said nothing, and so do we");
        assert_eq!(promised(304, Some(9), 0, &Method::HEAD).as_deref(), Some("9"));
    }
}

//! The headers that say who owns a job. Server and clients use the same list: a client that asks for its job sends the
//! values with which it submitted the job.

/// The headers whose values together say who owns a job, in alphabetical order. They count if the server asks for no access
/// token: a client that proposes the id of an existing job gets that job only if it sends the same values.
///
/// Cookies, sessions and headers that are secret only by their names are not in the list, because they can change between
/// two requests of a client.
pub const OWNER_HEADERS: [&str; 6] =
    ["api-key", "authorization", "x-amz-security-token", "x-api-key", "x-auth-token", "x-goog-api-key"];

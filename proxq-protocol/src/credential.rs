//! Whose a job is. Servers and clients go by the same headers: a client that asks for its job shows what it was submitted with.

/// The headers whose values together say who a job belongs to, in alphabetical order, where the server asks for no access
/// token: a proposed id that is known already is answered only to who sends the same ones.
///
/// Cookies, sessions and headers that are secret by their names alone are none of them: they change from one request of a
/// client to the next.
pub const OWNER_HEADERS: [&str; 6] =
    ["api-key", "authorization", "x-amz-security-token", "x-api-key", "x-auth-token", "x-goog-api-key"];

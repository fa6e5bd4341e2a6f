//! How requests leave: through the rest of a middleware chain, or through a client.

use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientWithMiddleware, Next, Result};

/// Sends requests, one at a time.
pub(crate) enum Transport<'a> {
    /// What stands below the middleware, with the extensions of the call.
    Chain { next: Next<'a>, extensions: &'a mut Extensions },
    /// A client of one's own.
    Client(&'a ClientWithMiddleware),
}

impl Transport<'_> {
    /// Sends a request; returns with the head of its response.
    pub(crate) async fn send(&mut self, request: Request) -> Result<Response> {
        match self {
            Self::Chain { next, extensions } => run(next.clone(), request, extensions).await,
            Self::Client(client) => client.execute(request).await,
        }
    }
}

/// The chain's lifetime shrinks to that of the borrowed extensions here.
async fn run<'b>(next: Next<'b>, request: Request, extensions: &'b mut Extensions) -> Result<Response> {
    next.run(request, extensions).await
}

//! Tests of `proxq-client`: a call through the queue looks like a direct one.

mod cancel;
mod explicit;
mod layers;
mod original;
mod outage;
mod redirect;
mod redirect_matrix;
mod through;
mod waiting;

use std::sync::Once;

use harness::{Answer, Upstream};
use proxq_client::{Builder, Proxq as Middleware};
use proxq_protocol::{JobId, header};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};

/// A client without anything special.
fn plain() -> reqwest::Client {
    with_provider(reqwest::Client::builder())
}

/// A client of this kind.
fn with_provider(builder: reqwest::ClientBuilder) -> reqwest::Client {
    install_provider();
    builder.build().expect("a client can be made")
}

/// Programs that choose `rustls-no-provider` have to bring one.
pub(crate) fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let installed = rustls::crypto::ring::default_provider().install_default();
        installed.expect("nobody else in this process does");
    });
}

/// The one line.
fn client() -> ClientWithMiddleware {
    with(Middleware::builder())
}

/// The same with settings.
fn with(builder: Builder) -> ClientWithMiddleware {
    let proxq = builder.build().expect("good settings");
    ClientBuilder::new(plain()).with(proxq).build()
}

/// Where a server is asked for this path.
fn url(server: &harness::Client, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

/// The `202` with which proxq accepts a submission.
fn accepted_answer(id: JobId) -> Answer {
    Answer::status(202)
        .header(header::SOURCE, header::SOURCE_VALUE)
        .header(header::JOB_ID, id.to_string())
        .header("Location", format!("/__jobs/{id}"))
        .body(format!(r#"{{"jobId":"{id}"}}"#))
}

/// A server that speaks as a proxq does, as far as it is told: a submission becomes this job, and everything below it is
/// answered like this.
async fn scripted(id: JobId, content: Answer) -> Upstream {
    let server = Upstream::start().await;
    script(&server, id, content);
    server
}

fn script(server: &Upstream, id: JobId, content: Answer) {
    server.plan(move |head| if head.word(1).starts_with("/__jobs/") { content.clone() } else { accepted_answer(id) });
}

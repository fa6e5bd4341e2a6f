//! A client of proxq that keeps what it receives as it was: raw heads, no decompression, no redirects.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use proxq_protocol::{JobInfo, JobStatus, header};

use crate::body::Digest;
use crate::events::Events;
use crate::job::Job;
use crate::message::Reply;
use crate::reply::check_own;
use crate::request::{Request, delete, get};
use crate::waiting::{eventually, within};
use crate::wire::Wire;

/// Speaks to one server, usually a proxq, wherever it listens at the moment. Clones follow it, too.
#[derive(Clone, Debug)]
pub struct Client {
    address: Arc<Mutex<SocketAddr>>,
}

impl Client {
    /// Speaks to whatever listens there.
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Arc::new(Mutex::new(address)) }
    }

    pub(crate) fn moved_to(&self, address: SocketAddr) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// A raw connection.
    pub async fn wire(&self) -> Wire {
        Wire::connect(self.address()).await
    }

    /// Sends bytes on a connection of their own and reads one reply.
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut wire = self.wire().await;
        wire.send(bytes).await;
        wire.reply().await
    }

    /// Sends a request on a connection of its own, whose reply is read later or never.
    pub async fn begin(&self, request: Request) -> Wire {
        let mut wire = self.wire().await;
        wire.send(request.bytes(self.address())).await;
        wire
    }

    /// Sends a request and gives the reply, whatever it is.
    pub async fn send(&self, request: Request) -> Reply {
        let what = format!("a reply to {} {}", request.method(), request.target());
        self.try_send(request).await.unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// The same, where the server may go away.
    ///
    /// # Errors
    /// When no complete reply was received.
    pub async fn try_send(&self, request: Request) -> io::Result<Reply> {
        let what = format!("a reply to {} {}", request.method(), request.target());
        let reply = within(&what, request.exchange(self.address())).await?;
        check_own(&reply, request.method());
        Ok(reply)
    }

    /// Sends a request that proxq must queue.
    pub async fn submit(&self, request: Request) -> Job {
        Job::of(&self.send(request).await)
    }

    /// Where a job stands.
    pub async fn status(&self, job: &Job) -> JobInfo {
        let reply = self.send(get(&job.location)).await;
        assert_eq!(reply.status, 200, "{reply}");
        serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply}"))
    }

    /// Where a job ended; waits for that.
    pub async fn settled(&self, job: &Job) -> JobInfo {
        within(&format!("job {} ends", job.id), async {
            loop {
                let reply = self.send(get(&format!("{}?wait=10s", job.location))).await;
                assert_eq!(reply.status, 200, "{reply}");
                let info: JobInfo = serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply}"));
                if info.status.is_final() {
                    return info;
                }
            }
        })
        .await
    }

    /// A job's status as soon as it is such; waits for that by the job's events, and fails the test if they end before.
    pub async fn reaches(&self, job: &Job, what: &str, is_such: impl Fn(&JobInfo) -> bool) -> JobInfo {
        within(what, async {
            let mut events = Events::of(self, &job.location).await;
            loop {
                let info =
                    events.status().await.unwrap_or_else(|| panic!("the events of {} end before: {what}", job.id));
                if is_such(&info) {
                    return info;
                }
            }
        })
        .await
    }

    /// Returns when a worker is on this job.
    pub async fn running(&self, job: &Job) -> JobInfo {
        self.reaches(job, "a worker is on the job", |info| info.status == JobStatus::Running).await
    }

    /// Returns when an attempt at this job has failed.
    pub async fn attempt_failed(&self, job: &Job) -> JobInfo {
        self.reaches(job, "an attempt has failed", |info| info.error.is_some()).await
    }

    /// Returns when this job rests before its next attempt.
    pub async fn resting(&self, job: &Job) -> JobInfo {
        self.reaches(job, "the job rests before its next attempt", |info| info.next_attempt_at.is_some()).await
    }

    /// Sends a request that waits for a job; gives the connection on which its answer comes.
    ///
    /// Returns when a later question about the job has been answered. The server takes requests in the order of their
    /// arrival, so that the one before it most likely waits by then. On a busy machine it may not have been read yet: a test
    /// holds in both cases, and is merely less sharp in the second.
    pub async fn begin_to_wait(&self, job: &Job, request: Request) -> Wire {
        let mut wire = self.wire().await;
        wire.send(request.head_bytes(self.address())).await;
        self.status(job).await;
        wire
    }

    /// Whether it says that it takes work.
    pub async fn is_ready(&self) -> bool {
        self.send(get("/__jobs/readyz")).await.status == 200
    }

    /// Returns when it says that it takes work.
    pub async fn ready(&self) {
        eventually("the server is ready", async || self.is_ready().await).await;
    }

    /// Asserts that its process lives and answers.
    pub async fn assert_healthy(&self) {
        let reply = self.send(get("/__jobs/healthz")).await;
        assert_eq!(reply.status, 200, "{reply}");
    }

    /// What there is at a job's content.
    pub async fn content(&self, job: &Job) -> Reply {
        self.send(get(&format!("{}/content", job.location))).await
    }

    /// The upstream's response to a job; waits for it.
    pub async fn response(&self, job: &Job) -> Reply {
        let info = self.settled(job).await;
        assert_eq!(info.status, JobStatus::Completed, "{info:?}");
        let reply = self.content(job).await;
        assert!(!reply.head.has(header::SOURCE), "an upstream's response bears no stamp of proxq: {reply}");
        reply
    }

    /// Sends a request through the queue and gives the upstream's response.
    pub async fn through_queue(&self, request: Request) -> Reply {
        let job = self.submit(request).await;
        self.response(&job).await
    }

    /// Length and hash of a completed job's content.
    pub async fn content_digest(&self, job: &Job) -> Digest {
        let reply = self.content(job).await;
        assert_eq!(reply.status, 200, "{}", reply.head.line());
        reply.digest
    }

    /// Cancels a job.
    pub async fn cancel(&self, job: &Job) -> Reply {
        self.send(delete(&job.location)).await
    }
}

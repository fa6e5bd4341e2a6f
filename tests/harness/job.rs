//! A job, as the `202` of proxq named it.

use proxq_protocol::{Accepted, JobId, header};

use crate::message::Reply;

/// A job that proxq has taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Where it is asked for, as the `202` said.
    pub location: String,
}

impl Job {
    /// The job that a reply names; fails the test unless this is a `202` of proxq.
    #[track_caller]
    pub fn of(accepted: &Reply) -> Self {
        assert_eq!(accepted.status, 202, "{accepted}");
        assert!(accepted.head.has(header::SOURCE), "a 202 of proxq bears its stamp: {accepted}");
        let named = accepted.header(header::JOB_ID).unwrap_or_default();
        let id = named.parse().unwrap_or_else(|e| panic!("{named:?} is {e}"));
        if !accepted.body.is_empty() {
            let body: Accepted = serde_json::from_slice(&accepted.body).unwrap_or_else(|e| panic!("{e}: {accepted}"));
            assert_eq!(body.job_id, id, "body and header name the same job");
        }
        let location = accepted.header("location").unwrap_or_else(|| panic!("no Location: {accepted}"));
        Self { id, location }
    }
}

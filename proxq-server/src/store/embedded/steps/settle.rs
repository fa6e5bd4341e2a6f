//! Ends leases as their owners say.

use bytes::Bytes;
use uuid::Uuid;

use super::super::step::{Step, StepError, Tx};
use super::end::{Onward, end, go_on, let_others};
use super::lease::{holds, lost};
use super::row::{JobRow, refer_to_blob};
use crate::failure::chain;
use crate::job::{Body, Outcome, Progress, Reach, State, Verdict};
use crate::sealing::Keyring;
use crate::store::record::{BodyFields, Head, Record, sealed_error};
use crate::store::signals::Effect;
use crate::store::{Lease, StoreError};

/// Ends a lease with a verdict.
#[derive(Debug)]
pub(in super::super) struct Settle {
    lease: Lease,
    verdict: Verdict,
    result: Option<StoredResult>,
}

/// A response, ready to be written.
#[derive(Debug)]
struct StoredResult {
    head: Vec<u8>,
    body: Bytes,
    blob: Option<Uuid>,
}

impl Settle {
    pub(in super::super) fn new(lease: Lease, mut verdict: Verdict, keys: &Keyring) -> Self {
        let result = match &mut verdict {
            Verdict::Complete(response) => {
                let (fields, body) = BodyFields::of(&response.body, keys);
                Some(StoredResult {
                    head: Head { head: response.head.clone(), body: fields }.encode(lease.id, keys),
                    body,
                    blob: match &response.body {
                        Body::Inline(_) => None,
                        Body::Blob(blob) => Some(blob.id),
                    },
                })
            }
            Verdict::RetryAfter { error, .. } | Verdict::Fail { error, .. } => {
                *error = sealed_error(lease.id, keys, std::mem::take(error));
                None
            }
            Verdict::Release => None,
        };
        Self { lease, verdict, result }
    }
}

impl Step for Settle {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        let id = self.lease.id;
        let row = JobRow::of_job(tx, id)?.filter(|row| holds(row, &self.lease)).ok_or_else(|| lost(id))?;
        let mut progress = progress_or_new(&row)?;
        match &self.verdict {
            Verdict::Complete(response) => {
                progress.end_attempt(tx.now, Reach::Responded, Some(response.head.status.as_u16()));
                progress.last_error = None;
                progress.outcome = Some(Outcome::Responded);
                progress.ended_at = Some(tx.now);
                end(tx, &row, &progress, State::Completed)?;
            }
            Verdict::RetryAfter { pause, error, reach, charged } => {
                progress.end_attempt(tx.now, *reach, None);
                progress.last_error = Some(error.clone());
                progress.retried = progress.retried.saturating_add(u32::from(*charged));
                go_on(tx, &row, &progress, Onward::Resting(tx.now.after(*pause)))?;
            }
            Verdict::Fail { error, reach, outcome } => {
                progress.end_attempt(tx.now, *reach, None);
                fail(tx, &row, progress, error, *outcome)?;
            }
            Verdict::Release => {
                progress.revoke_attempt();
                go_on(tx, &row, &progress, Onward::Pending)?;
            }
        }
        let_others(tx, row.seq, &self.verdict)?;
        if let Some(result) = &self.result {
            tx.connection.prepare_cached("INSERT INTO results (seq, head, body) VALUES (?1, ?2, ?3)")?.execute((
                row.seq,
                &result.head,
                &result.body[..],
            ))?;
            if let Some(blob) = result.blob {
                refer_to_blob(tx, row.seq, blob)?;
            }
        }
        tx.tell(Effect::Settled(id));
        tx.tell(Effect::Changed(id));
        Ok(())
    }
}

/// Ends a job without a response.
pub(super) fn fail(
    tx: &mut Tx<'_>,
    row: &JobRow,
    mut progress: Progress,
    error: &str,
    outcome: Outcome,
) -> rusqlite::Result<()> {
    progress.last_error = Some(error.to_owned());
    progress.outcome = Some(outcome);
    progress.ended_at = Some(tx.now);
    end(tx, row, &progress, State::Archived)
}

/// The progress of a leased job. One that was damaged meanwhile is begun anew: how the attempt ended is worth more.
fn progress_or_new(row: &JobRow) -> Result<Progress, StoreError> {
    match row.progress() {
        Err(error @ StoreError::CorruptJob { .. }) => {
            tracing::error!(job.id = %row.id, error = chain(&error), "progress of a job was lost");
            Ok(Progress { attempts: 1, reach: Some(Reach::Unknown), ..Progress::default() })
        }
        read => read,
    }
}

/// Gives leases back that never reached a worker. Those that are gone by now are let be.
#[derive(Debug)]
pub(in super::super) struct Unsettled {
    pub(in super::super) leases: Vec<Lease>,
}

impl Step for Unsettled {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        for lease in &self.leases {
            match Settle::new(*lease, Verdict::Release, &tx.shared.keys).run(tx) {
                Ok(()) | Err(StepError::Refused(_)) => {}
                Err(error @ StepError::Database(_)) => return Err(error),
            }
        }
        Ok(())
    }
}

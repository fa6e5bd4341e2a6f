//! Takes a job in.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::OptionalExtension;
use uuid::Uuid;

use super::super::step::{Step, StepError, Tx};
use super::super::time::StoreTime;
use super::row::{JobRow, millis, number, rank, refer_to_blob};
use super::{bounds, claim, turns};
use crate::config::SecretHeaders;
use crate::job::{Body, JobId, Priority, Progress, State, TimeBounds};
use crate::sealing::Keyring;
use crate::store::record::{Asked, BodyFields, Facts, Record, Secrets, encode_progress};
use crate::store::signals::Effect;
use crate::store::{Call, Claim, NewJob, Submitted};

/// A job, ready to be written: all that can be made before the transaction is.
#[derive(Debug)]
pub(in super::super) struct Submit {
    id: JobId,
    queue: String,
    priority: Priority,
    delay: Option<Duration>,
    credential: [u8; 32],
    retention_ms: i64,
    secrets: Option<Vec<u8>>,
    facts: Vec<u8>,
    asked: Asked,
    body: Bytes,
    blob: Option<Uuid>,
    claim: Option<Claim>,
    max_queued: Option<NonZeroU32>,
    call: Option<Call>,
    bounds: TimeBounds,
}

impl Submit {
    pub(in super::super) fn new(job: NewJob, secret_headers: &SecretHeaders, keys: &Keyring, time: &StoreTime) -> Self {
        let NewJob { queue, mut request, body, delay, claim, max_queued, call, .. } = job;
        let secrets = Secrets::take(&mut request, secret_headers);
        request.created_at = time.of_wall(request.created_at);
        let (id, priority, credential, bounds) = (request.id, request.priority, request.credential.0, request.bounds);
        let retention_ms = millis(u64::try_from(request.retention.as_millis()).unwrap_or(u64::MAX));
        let (fields, beside) = BodyFields::of(&body, keys);
        let facts = Facts::new(request, fields);
        let blob = match &body {
            Body::Inline(_) => None,
            Body::Blob(blob) => Some(blob.id),
        };
        Self {
            id,
            queue: queue.as_str().to_owned(),
            priority,
            delay: delay.filter(|delay| !delay.is_zero()),
            credential,
            retention_ms,
            secrets: secrets.map(|secrets| secrets.encode(id, keys)),
            asked: facts.asked(),
            facts: facts.encode(id, keys),
            body: beside,
            blob,
            claim,
            max_queued,
            call,
            bounds,
        }
    }
}

impl Submit {
    /// Whether the job with this id is another request.
    fn differs(&self, tx: &Tx<'_>) -> Result<bool, StepError> {
        let Some(row) = JobRow::of_job(tx, self.id)? else { return Ok(false) };
        match row.facts(tx) {
            Ok(facts) => Ok(facts.asked() != self.asked),
            Err(StepError::Refused(_unreadable)) => Ok(false),
            Err(error @ StepError::Database(_)) => Err(error),
        }
    }
}

impl Step for Submit {
    type Output = Submitted;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Submitted, StepError> {
        let mut select = tx.connection.prepare_cached("SELECT credential FROM jobs WHERE id = ?1")?;
        let holder: Option<[u8; 32]> = select.query_row((self.id.as_bytes(),), |row| row.get(0)).optional()?;
        if holder.is_some_and(|credential| credential != self.credential) || holder.is_some() && self.differs(tx)? {
            return Ok(Submitted::Taken);
        }
        let claimed = match &self.claim {
            Some(claim) => claim::holder(tx, claim)?,
            None => None,
        };
        // A job that is there is told of itself, also where its claim has passed to another one meanwhile.
        let there = match (claimed, holder) {
            (Some((first, met)), there) if there.is_none() || first == self.id => Some(met),
            (_, there) => there.map(|_| Submitted::Existing(self.id)),
        };
        if let Some(there) = there {
            return Ok(there);
        }
        if let Some(call) = &self.call
            && let Some(met) = turns::join(tx, call, self.id)?
        {
            return Ok(met);
        }
        if let Some(max) = self.max_queued
            && tx.shared.tally.waiting(&self.queue, &tx.state.moves) >= i64::from(max.get())
        {
            return Ok(Submitted::Full);
        }
        tx.needs_room()?;
        let (state, due) = match self.delay {
            None => (State::Pending, tx.now),
            Some(delay) => (State::Scheduled, tx.now.after(delay)),
        };
        let secrets = match &self.secrets {
            Some(record) => Some(tx.state.vault.store(tx.connection, record)?),
            None => None,
        };
        tx.connection
            .prepare_cached(
                "INSERT INTO jobs (id, queue, state, due, token, retention, credential, secrets, progress, priority)
                 VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute((
                self.id.as_bytes(),
                &self.queue,
                number(state),
                due.as_millis(),
                self.retention_ms,
                self.credential,
                secrets,
                encode_progress(self.id, &Progress::default()),
                rank(self.priority),
            ))?;
        let seq = tx.connection.last_insert_rowid();
        tx.connection.prepare_cached("INSERT INTO requests (seq, facts, body) VALUES (?1, ?2, ?3)")?.execute((
            seq,
            &self.facts,
            &self.body[..],
        ))?;
        if let Some(claim) = &self.claim {
            claim::take(tx, seq, claim)?;
        }
        if let Some(call) = &self.call {
            turns::begin(tx, seq, call)?;
        }
        bounds::set(tx, seq, self.bounds)?;
        if let Some(blob) = self.blob {
            refer_to_blob(tx, seq, blob)?;
        }
        let queue = tx.shared.signals.queue(&self.queue);
        tx.moves(&queue, None, Some(state));
        tx.tell(match self.delay {
            None => Effect::Ready(queue),
            Some(_) => Effect::DueAt(queue, tx.steady_at(due)),
        });
        tx.tell(Effect::Changed(self.id));
        Ok(Submitted::New)
    }
}

//! What was submitted as a job, read as a whole.

use rusqlite::{Connection, OptionalExtension};

use super::reader::{ReadError, of_job};
use super::vault;
use crate::job::JobId;
use crate::sealing::Keyring;
use crate::store::SubmittedRequest;
use crate::store::record::{Facts, Record, unopened};

/// The request of a job, its secrets and its body. All of it is read at once, as the job may end meanwhile.
pub(super) fn submitted(
    connection: &Connection,
    keys: &Keyring,
    id: JobId,
) -> Result<Option<SubmittedRequest>, ReadError> {
    let mut select = connection.prepare_cached(SUBMITTED)?;
    let bytes = |row: &rusqlite::Row<'_>, column: usize| row.get::<_, Option<Vec<u8>>>(column);
    let columns = select
        .query_row((id.as_bytes(),), |row| {
            Ok((bytes(row, 0)?, bytes(row, 1)?, row.get::<_, Option<i64>>(2)?, bytes(row, 3)?))
        })
        .optional()
        .map_err(of_job(id))?;
    let Some((facts, beside, slot, secrets)) = columns else { return Ok(None) };
    let mut facts = Facts::decode(id, facts.unwrap_or_default().into(), keys)?;
    if slot.is_some() {
        let record = vault::record_in(secrets.unwrap_or_default());
        facts.put_back(record.into(), keys)?;
    }
    let body =
        facts.body.body(beside.unwrap_or_default(), keys).map_err(|error| unopened(id, "request body", error))?;
    Ok(Some(SubmittedRequest { request: facts.request, body }))
}

pub(super) const SUBMITTED: &str = "SELECT facts, body, secrets, bytes FROM jobs
    LEFT JOIN requests ON requests.seq = jobs.seq
    LEFT JOIN vault ON vault.slot = jobs.secrets
    WHERE jobs.id = ?1";

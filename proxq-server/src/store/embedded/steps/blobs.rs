//! What the store of blobs asks of the database, and whether the database can be written at all.

use uuid::Uuid;

use super::super::step::{Step, StepError, Tx};

/// Which of these blobs no job refers to, all that was submitted and settled before being done.
#[derive(Debug)]
pub(in super::super) struct Unreferred {
    pub(in super::super) blobs: Vec<Uuid>,
}

impl Step for Unreferred {
    type Output = Vec<Uuid>;

    fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Uuid>, StepError> {
        let mut select = tx.connection.prepare_cached("SELECT 1 FROM blobs WHERE id = ?1")?;
        let mut unreferred = Vec::new();
        for blob in &self.blobs {
            if !select.exists((blob.as_bytes(),))? {
                unreferred.push(*blob);
            }
        }
        Ok(unreferred)
    }
}

/// Writes something and takes it back.
#[derive(Debug)]
pub(in super::super) struct Probe;

/// What a small job takes.
const PROBE_BYTES: i64 = 16 * 1024;

impl Step for Probe {
    type Output = ();

    fn run(&self, tx: &mut Tx<'_>) -> Result<(), StepError> {
        tx.needs_room()?;
        tx.connection
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', zeroblob(?1))")?
            .execute((PROBE_BYTES,))?;
        tx.connection.prepare_cached("DELETE FROM meta WHERE key = 'probe'")?.execute(())?;
        Ok(())
    }
}

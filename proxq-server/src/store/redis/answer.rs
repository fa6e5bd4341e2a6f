//! The answers of commands and scripts, and how they are read.

use bytes::Bytes;
use redis::Value;

use super::error::unexpected;
use crate::clock::{Clock, Timestamp};
use crate::store::StoreError;

/// An answer, with the command that it belongs to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) command: &'static str,
    /// Whether the command was sent again because the first answer was lost with its connection.
    pub(super) repeated: bool,
}

impl Answer {
    fn unexpected(&self) -> StoreError {
        unexpected(self.command)
    }

    /// A whole number.
    pub(super) fn number(self) -> Result<i64, StoreError> {
        if let Value::Int(number) = self.value { Ok(number) } else { Err(self.unexpected()) }
    }

    /// How many there are of something.
    pub(super) fn count(self) -> Result<usize, StoreError> {
        let command = self.command;
        usize::try_from(self.number()?).map_err(|_| unexpected(command))
    }

    /// True for 1, as scripts say it.
    pub(super) fn flag(self) -> Result<bool, StoreError> {
        Ok(self.number()? == 1)
    }

    /// Bytes, or nothing.
    pub(super) fn bytes(self) -> Result<Option<Bytes>, StoreError> {
        if self.value == Value::Nil {
            return Ok(None);
        }
        if let Value::BulkString(bytes) = self.value { Ok(Some(bytes.into())) } else { Err(self.unexpected()) }
    }

    /// A text.
    pub(super) fn text(self) -> Result<String, StoreError> {
        let command = self.command;
        let bytes = self.bytes()?.ok_or_else(|| unexpected(command))?;
        String::from_utf8(bytes.into()).map_err(|_| unexpected(command))
    }

    /// A list.
    pub(super) fn list(self) -> Result<Vec<Self>, StoreError> {
        let Self { value, command, repeated } = self;
        let Value::Array(items) = value else { return Err(unexpected(command)) };
        Ok(items.into_iter().map(|value| Self { value, command, repeated }).collect())
    }

    /// A list of that many items.
    pub(super) fn array<const N: usize>(self) -> Result<[Self; N], StoreError> {
        let command = self.command;
        self.list()?.try_into().map_err(|_| unexpected(command))
    }

    /// A list of bytes, or of nothing.
    pub(super) fn fields(self) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.list()?.into_iter().map(Self::bytes).collect()
    }
}

/// An instant of Redis's clock, and the time of that clock when it gave the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct RedisInstant {
    at_ms: i64,
    now_ms: i64,
}

impl RedisInstant {
    /// Reads an instant, where a negative number means none, and the time of the answer.
    pub(super) fn read(at: Answer, now: Answer) -> Result<Option<Self>, StoreError> {
        Ok(Self::of(at.number()?, now.number()?))
    }

    /// The same of numbers that were read.
    pub(super) fn of(at_ms: i64, now_ms: i64) -> Option<Self> {
        (at_ms >= 0).then_some(Self { at_ms, now_ms })
    }

    /// Whether it is still to come.
    pub(super) fn is_ahead(self) -> bool {
        self.at_ms > self.now_ms
    }

    /// The same instant by this process's clock.
    pub(super) fn by(self, clock: Clock) -> Timestamp {
        let ahead_ms = self.at_ms.saturating_sub(self.now_ms);
        Timestamp::from_millis(clock.steady().as_millis().saturating_add(ahead_ms))
    }
}

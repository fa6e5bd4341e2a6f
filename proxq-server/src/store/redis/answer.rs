//! Reads the answers of commands and scripts.

use bytes::Bytes;
use redis::Value;

use super::error::unexpected;
use crate::store::StoreError;

/// An answer, and the command that it is to.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) command: &'static str,
    /// Whether it was asked for again, because an earlier answer was lost with its connection.
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

    /// A list of numbers.
    pub(super) fn numbers<const N: usize>(self) -> Result<[i64; N], StoreError> {
        let mut numbers = [0; N];
        for (number, item) in numbers.iter_mut().zip(self.array::<N>()?) {
            *number = item.number()?;
        }
        Ok(numbers)
    }

    /// A list of bytes, or of nothing.
    pub(super) fn fields(self) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.list()?.into_iter().map(Self::bytes).collect()
    }
}

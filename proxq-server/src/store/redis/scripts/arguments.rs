//! How the arguments of scripts are written.

use std::fmt;
use std::time::Duration;

use crate::store::Lease;

/// The arguments of a script, in its order.
#[derive(Debug, Default)]
pub(crate) struct Arguments(Vec<Vec<u8>>);

impl Arguments {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub(super) fn with(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.0.push(argument.into());
        self
    }

    /// One more, as it is displayed: a number in decimal digits, an id with hyphens.
    pub(super) fn shown(self, argument: impl fmt::Display) -> Self {
        self.with(argument.to_string())
    }

    /// One more, as it is displayed; empty where there is none.
    pub(super) fn optional(self, argument: Option<impl fmt::Display>) -> Self {
        match argument {
            Some(argument) => self.shown(argument),
            None => self.with(""),
        }
    }

    /// A span in whole milliseconds, rounded down.
    pub(super) fn millis(self, span: Duration) -> Self {
        self.shown(span.as_millis())
    }

    /// A span in whole milliseconds, rounded up: nothing is due early.
    pub(super) fn millis_at_least(self, span: Duration) -> Self {
        self.shown(span.as_nanos().div_ceil(1_000_000))
    }

    /// 1 for true, 0 for false.
    pub(super) fn flag(self, flag: bool) -> Self {
        self.shown(u8::from(flag))
    }

    /// The id and the token of a lease.
    pub(super) fn lease(self, lease: LeaseName) -> Self {
        self.with(lease.id).with(lease.token)
    }

    /// Several more, each as it is displayed.
    pub(super) fn each(self, arguments: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        arguments.into_iter().fold(self, Self::shown)
    }
}

impl Arguments {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// How many bytes they have together.
    pub(crate) fn length(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

impl IntoIterator for Arguments {
    type Item = Vec<u8>;
    type IntoIter = std::vec::IntoIter<Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// A lease in the words of Redis: a task of asynq's may have any id, and a lease that asynq gave has an empty token.
#[derive(Clone, Debug)]
pub(crate) struct LeaseName {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl From<&Lease> for LeaseName {
    fn from(lease: &Lease) -> Self {
        Self { id: lease.id.to_string(), token: lease.token.to_string() }
    }
}

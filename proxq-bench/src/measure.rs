//! The measures: each is a file of its own that fills a table.

mod at_rest;
mod backlog;
mod beside;
mod direct;
mod encryption;
mod encryption_large;
mod first_event;
mod idle;
mod jobs;
mod large;
mod limits;
mod long_polls;
mod operators;
mod pick_up;
mod read;
mod sdk;
mod submit;
mod tokens;
mod uploads;

use clap::ValueEnum;

use crate::Problem;
use crate::bench::Bench;
use crate::table::Table;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measure {
    Submit,
    Jobs,
    Read,
    PickUp,
    Sdk,
    Direct,
    FirstEvent,
    Large,
    Uploads,
    LongPolls,
    Idle,
    Limits,
    Tokens,
    Encryption,
    EncryptionLarge,
    Backlog,
    Operators,
}

/// What a table says about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    /// What is done, and how often.
    pub(crate) title: &'static str,
    /// What keeps the figures from being better.
    pub(crate) limited_by: &'static str,
    /// Which figures proxq is to reach.
    pub(crate) target: &'static str,
}

impl Measure {
    pub(crate) fn about(self) -> About {
        match self {
            Self::Submit => submit::ABOUT,
            Self::Jobs => jobs::ABOUT,
            Self::Read => read::ABOUT,
            Self::PickUp => pick_up::ABOUT,
            Self::Direct => direct::ABOUT,
            Self::Uploads => uploads::ABOUT,
            Self::Sdk => sdk::ABOUT,
            Self::FirstEvent => first_event::ABOUT,
            Self::Large => large::ABOUT,
            Self::LongPolls => long_polls::ABOUT,
            Self::Limits => limits::ABOUT,
            Self::Tokens => tokens::ABOUT,
            Self::Encryption => encryption::ABOUT,
            Self::EncryptionLarge => encryption_large::ABOUT,
            Self::Backlog => backlog::ABOUT,
            Self::Operators => operators::ABOUT,
            Self::Idle => idle::ABOUT,
        }
    }

    pub(crate) async fn run(self, bench: &Bench) -> Result<Table, Problem> {
        match self {
            Self::Submit => submit::run(bench).await,
            Self::Jobs => jobs::run(bench).await,
            Self::Read => read::run(bench).await,
            Self::PickUp => pick_up::run(bench).await,
            Self::Direct => direct::run(bench).await,
            Self::Uploads => uploads::run(bench).await,
            Self::Sdk => sdk::run(bench).await,
            Self::FirstEvent => first_event::run(bench).await,
            Self::Large => large::run(bench).await,
            Self::LongPolls => long_polls::run(bench).await,
            Self::Limits => limits::run(bench).await,
            Self::Tokens => tokens::run(bench).await,
            Self::Encryption => encryption::run(bench).await,
            Self::EncryptionLarge => encryption_large::run(bench).await,
            Self::Backlog => backlog::run(bench).await,
            Self::Operators => operators::run(bench).await,
            Self::Idle => idle::run(bench).await,
        }
    }
}

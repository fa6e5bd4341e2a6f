//! The scripts: one a transition, each one atomic step.
//!
//! A script's text is in `lua/`, headed by its arguments and its answer. Its call is a struct here, which names the
//! arguments and says what the answer means; [`Commands::call`] runs it.
//!
//! [`Commands::call`]: super::connection::Commands::call

mod arguments;
mod blobs;
mod end;
mod lease;
mod limits;
mod orders;
mod overdue;
mod page;
mod reclaim;
mod settle;
mod stats;
mod submit;
mod turns;
mod upkeep;

use redis::{Pipeline, Script as Compiled};

pub(super) use self::arguments::{Arguments, LeaseName};
pub(super) use self::blobs::{Chunk, DropBlob, Sweep};
pub(super) use self::end::{Archive, By, Complete, ResultPlace};
pub(super) use self::lease::{HandedOutJob, LeaseJobs, LockedJob, Peek, Renew};
pub(super) use self::limits::{Admit, AdmittedBy, AllHeldBack, LeaseWithin, Park, Places, credential_name};
pub(super) use self::orders::{Cancel, Cancelled, Rerun, Watch};
pub(super) use self::overdue::{EndOverdue, OverdueJob};
pub(super) use self::page::{ListPage, ListPlace, ListSort, Listed, SetPage, SetPlace, SetSort};
pub(super) use self::reclaim::{LostJob, LostJobs, Reclaim};
pub(super) use self::settle::{Postpone, Release, Retry};
pub(super) use self::stats::Stats;
pub(super) use self::submit::{CallOf, Submit, Taken};
pub(super) use self::turns::{GivenUp, Part, Parting, Resume};
pub(super) use self::upkeep::{Age, Expire, Heal, Trim, Wake};
use super::answer::Answer;
use crate::store::StoreError;

/// A call of a script.
pub(super) trait Call {
    /// What it answers.
    type Output;

    /// Whether it may be sent again when its answer was lost. If it had run, the second run changes nothing more and gives the
    /// same answer.
    const REPEATABLE: bool;

    /// The script.
    fn script(scripts: &Scripts) -> &Script;

    /// The arguments in the order of the script's header.
    fn arguments(self) -> Arguments;

    /// What the answer means.
    fn output(answer: Answer) -> Result<Self::Output, StoreError>;
}

/// Whose time the scripts go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptClock {
    /// The time of Redis.
    Redis,
    /// The time that a test has written into Redis.
    #[cfg(test)]
    Chosen,
}

impl ScriptClock {
    fn text(self) -> &'static str {
        match self {
            Self::Redis => include_str!("lua/clock.lua"),
            #[cfg(test)]
            Self::Chosen => include_str!("lua/chosen_clock.lua"),
        }
    }
}

/// The text of one script.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// What errors call it.
    pub(super) name: &'static str,
    /// Its whole text.
    pub(super) text: String,
    /// What it is called by once it is loaded.
    pub(super) sha: String,
}

impl Script {
    fn new(clock: ScriptClock, name: &'static str, own: &str) -> Self {
        let shared =
            [include_str!("lua/common.lua"), include_str!("lua/priorities.lua"), include_str!("lua/bounds.lua")];
        // Each of them takes Redis some time, so only those have them who need them.
        let (filing, pacing) = (include_str!("lua/filing.lua"), include_str!("lua/pacing.lua"));
        let leasing = [include_str!("lua/sealing.lua"), include_str!("lua/leasing.lua")].concat();
        let some_share = match name {
            "age" | "cancel" | "overdue" | "park" => filing.to_owned(),
            "lease" => leasing,
            "lease_within" => [filing, &leasing, pacing].concat(),
            "admit" => [filing, pacing].concat(),
            _ => String::new(),
        };
        let text = without_comments(&[clock.text(), &shared.concat(), &some_share, own].concat());
        let sha = Compiled::new(&text).get_hash().to_owned();
        Self { name, text, sha }
    }
}

/// A script without the lines that are for its readers. It is sent to Redis with each new connection.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.fold(String::with_capacity(text.len()), |text, line| text + line + "\n")
}

macro_rules! scripts {
    ($($name:ident)+) => {
        /// The texts of all scripts.
        #[derive(Clone, Debug)]
        pub(super) struct Scripts {
            $($name: Script,)+
        }

        impl Scripts {
            /// The scripts that go by a clock.
            pub(super) fn new(clock: ScriptClock) -> Self {
                Self {
                    $($name: Script::new(clock, stringify!($name), include_str!(concat!("lua/", stringify!($name), ".lua"))),)+
                }
            }

            /// Loads all of them, in one round trip.
            pub(super) fn loading(&self) -> Pipeline {
                let mut commands = Pipeline::new();
                $(commands.cmd("SCRIPT").arg("LOAD").arg(&self.$name.text);)+
                commands
            }

            /// All of them.
            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<&Script> {
                vec![$(&self.$name,)+]
            }
        }
    };
}

scripts! {
    admit
    age
    archive
    cancel
    chunk
    complete
    drop
    expire
    given_up
    heal
    held_back
    lease
    lease_within
    list_page
    lost
    overdue
    park
    part
    peek
    places
    postpone
    reclaim
    release
    renew
    rerun
    resume
    retry
    set_page
    stats
    submit
    sweep
    trim
    wake
    watch
}

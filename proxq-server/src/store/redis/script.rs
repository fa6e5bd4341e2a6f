//! The scripts: one a transition, each one atomic step. Their texts are in `lua/`, headed by arguments and answers.

use redis::{Pipeline, Script as Compiled};

/// Whose time the scripts go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptClock {
    /// That of Redis.
    Redis,
    /// That which a test has written into it.
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

/// One script.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// What errors call it.
    pub(super) name: &'static str,
    /// Its whole text.
    pub(super) text: String,
    /// What it is called by once it is loaded.
    pub(super) sha: String,
    /// Whether it may run again while it is unknown whether it has run: the second run changes nothing that the first one
    /// did, and says the same of it.
    pub(super) repeatable: bool,
}

macro_rules! scripts {
    ($($name:ident: $repeatable:literal)+) => {
        /// All scripts.
        #[derive(Clone, Debug)]
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        impl Scripts {
            /// The scripts that go by a clock.
            pub(super) fn new(clock: ScriptClock) -> Self {
                Self { $($name: script(clock, stringify!($name), include_str!(concat!("lua/", stringify!($name), ".lua")), $repeatable),)+ }
            }

            /// Loads all of them, in one round trip.
            pub(super) fn loading(&self) -> Pipeline {
                let mut commands = Pipeline::new();
                $(commands.cmd("SCRIPT").arg("LOAD").arg(&self.$name.text);)+
                commands
            }
        }
    };
}

// A lease that was ended is gone, and whoever ends it again is told so: `Worker` asks again itself, as intake does about a
// submission.
scripts! {
    archive: false
    cancel: true
    chunk: true
    complete: false
    drop: true
    expire: true
    heal: true
    lease: true
    lost: true
    peek: true
    reclaim: false
    release: false
    renew: true
    rerun: true
    retry: false
    submit: false
    sweep: true
    trim: true
    wake: true
    watch: true
}

fn script(clock: ScriptClock, name: &'static str, own: &str, repeatable: bool) -> Script {
    let text = [clock.text(), include_str!("lua/common.lua"), own].concat();
    let sha = Compiled::new(&text).get_hash().to_owned();
    Script { name, text, sha, repeatable }
}

//! Rules between keys: which prefixes and which queues go together.

use crate::config::keys::upstreams::ReadUpstream;
use crate::config::section::{Reading, Written, shown};
use crate::config::{Config, Prefix, Routing};

/// What a mistake ends with that is none with another `routing`.
const ALLOWED: &str = "; routing: longest-prefix allows it";

pub(super) fn check(reading: &Reading<'_>, config: &Config, upstreams: &[ReadUpstream]) {
    check_prefixes(reading, config, upstreams);
    check_queues(reading, config, upstreams);
}

/// Notes every prefix that another, or `jobsPath`, leaves no room for.
fn check_prefixes(reading: &Reading<'_>, config: &Config, upstreams: &[ReadUpstream]) {
    let prefixes: Vec<_> = upstreams.iter().filter_map(|read| read.prefix.as_ref()).collect();
    let is_root = |prefix: &Written<Prefix>| prefix.value == Prefix::root();
    let is_strict = config.routing == Routing::Strict;
    for (index, prefix) in prefixes.iter().enumerate() {
        if is_root(prefix) {
            if is_strict && prefixes.iter().any(|other| !is_root(other)) {
                let problem = "\"/\" is for a single upstream: it contains every other prefix";
                reading.note(&prefix.at, format!("{problem}{ALLOWED}"));
            }
        } else if let Some(relation) = relation(&prefix.value, &config.jobs_path) {
            reading.note(&prefix.at, conflict(prefix, relation, "jobsPath", &config.jobs_path));
        }
        for earlier in &prefixes[..index] {
            let Some(relation) = relation(&prefix.value, &earlier.value) else { continue };
            let conflict = conflict(prefix, relation, &earlier.at.path, &earlier.value);
            if relation == Relation::Same {
                reading.note(&prefix.at, conflict);
            } else if is_strict && !is_root(prefix) && !is_root(earlier) {
                reading.note(&prefix.at, conflict + ALLOWED);
            }
        }
    }
}

/// How two prefixes are in each other's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Same,
    Contains,
    Inside,
}

fn relation(prefix: &Prefix, other: &Prefix) -> Option<Relation> {
    match (prefix.contains(other), other.contains(prefix)) {
        (true, true) => Some(Relation::Same),
        (true, false) => Some(Relation::Contains),
        (false, true) => Some(Relation::Inside),
        (false, false) => None,
    }
}

fn conflict(prefix: &Written<Prefix>, relation: Relation, other_path: &str, other: &Prefix) -> String {
    let relation = match relation {
        Relation::Same => "is the same as",
        Relation::Contains => "contains",
        Relation::Inside => "lies inside",
    };
    format!("{} {relation} {other_path} {}", shown(prefix.value.as_str()), shown(other.as_str()))
}

/// Notes every queue of an upstream that is the queue of others, too. Only a name that is written can be: those that are made
/// from different prefixes differ.
fn check_queues(reading: &Reading<'_>, config: &Config, upstreams: &[ReadUpstream]) {
    for (index, read) in upstreams.iter().enumerate() {
        let (Some(name), Some(at)) = (&read.upstream.flow.queue, &read.queue_at) else { continue };
        let note = |other: String| {
            let name = shown(name.as_str());
            reading.note(at, format!("{name} is the same as {other}; each queue needs a name of its own"));
        };
        if *name == config.queue {
            note("the global queue".to_owned());
        }
        for (other_index, other) in upstreams.iter().enumerate() {
            let is_same = other.upstream.flow.is_some() && config.queue_of(&other.upstream) == *name;
            match (&other.queue_at, &other.prefix) {
                (Some(other_at), _) if is_same && other_index < index => note(other_at.path.clone()),
                (None, Some(prefix)) if is_same => {
                    note(format!("the queue that is named after {} {}", prefix.at.path, shown(prefix.value.as_str())));
                }
                _ => {}
            }
        }
    }
}

//! Rules between keys: which prefixes go together.

use super::upstreams::ReadUpstream;
use crate::config::Prefix;
use crate::config::section::{Reading, Written, shown};

/// Notes every prefix that another, or `jobsPath`, leaves no room for.
pub(super) fn check(reading: &Reading<'_>, jobs_path: &Prefix, upstreams: &[ReadUpstream]) {
    let prefixes: Vec<_> = upstreams.iter().filter_map(|read| read.prefix.as_ref()).collect();
    for (index, prefix) in prefixes.iter().enumerate() {
        if prefix.value == Prefix::root() {
            if upstreams.len() > 1 {
                reading.note(&prefix.at, "\"/\" is for a single upstream: it contains every other prefix");
            }
            continue;
        }
        if let Some(relation) = relation(&prefix.value, jobs_path) {
            reading.note(&prefix.at, conflict(prefix, relation, "jobsPath", jobs_path));
        }
        for earlier in prefixes[..index].iter().filter(|earlier| earlier.value != Prefix::root()) {
            if let Some(relation) = relation(&prefix.value, &earlier.value) {
                reading.note(&prefix.at, conflict(prefix, relation, &earlier.at.path, &earlier.value));
            }
        }
    }
}

/// How two prefixes are in each other's way.
fn relation(prefix: &Prefix, other: &Prefix) -> Option<&'static str> {
    match (prefix.contains(other), other.contains(prefix)) {
        (true, true) => Some("is the same as"),
        (true, false) => Some("contains"),
        (false, true) => Some("lies inside"),
        (false, false) => None,
    }
}

fn conflict(prefix: &Written<Prefix>, relation: &str, other_path: &str, other: &Prefix) -> String {
    format!("{} {relation} {other_path} {}", shown(prefix.value.as_str()), shown(other.as_str()))
}

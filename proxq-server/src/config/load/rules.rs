//! Rules between keys: which prefixes, queues and tokens go together.

use crate::access_token::TokenDigest;
use crate::config::keys::admin::NEEDS_TOKEN;
use crate::config::keys::globals::Globals;
use crate::config::keys::upstreams::ReadUpstream;
use crate::config::section::{Reading, Written, shown, shown_at};
use crate::config::{AdminRole, Config, DirectMode, Prefix, Routing};

/// What a mistake ends with that is none with another `routing`.
const ALLOWED: &str = "; routing: longest-prefix allows it";

pub(super) fn check(reading: &Reading<'_>, read: &Globals) {
    let Globals { config, upstreams, .. } = read;
    check_prefixes(reading, config, upstreams);
    check_queues(reading, config, upstreams);
    check_tokens(reading, read);
    check_scopes(reading, read);
    check_openness(reading, read);
}

/// Notes every name and every token that is there twice.
fn check_tokens(reading: &Reading<'_>, read: &Globals) {
    let admin = read.config.admin.as_ref().and_then(|admin| admin.token.reveal().ok());
    let admin = admin.filter(|token| !token.is_empty()).map(TokenDigest::of);
    for (index, token) in read.tokens.iter().enumerate() {
        for (earlier, other) in read.tokens[..index].iter().enumerate() {
            if let (Some(at), Some(_)) = (&token.name_at, &other.name_at)
                && token.token.name() == other.token.name()
            {
                let name = shown_at(at, token.token.name());
                reading
                    .note(at, format!("{name} is the name of auth.tokens[{earlier}], too; each needs one of its own"));
            }
            if let (Some(at), Some(_)) = (&token.secret_at, &other.secret_at)
                && token.token.digest() == other.token.digest()
            {
                reading.note(at, format!("is the same token as that of auth.tokens[{earlier}]; each is to be another"));
            }
        }
        if let Some(at) = &token.secret_at
            && admin == Some(*token.token.digest())
        {
            reading
                .note(at, "is the same token as admin.token; use another, and give that one a role by its key admin");
        }
    }
}

/// Notes every upstream of a token that there is not.
fn check_scopes(reading: &Reading<'_>, read: &Globals) {
    let known: Vec<_> = read.upstreams.iter().filter_map(|upstream| upstream.prefix.as_ref()).collect();
    let listed = known.iter().map(|prefix| prefix.value.as_str()).collect::<Vec<_>>().join(", ");
    for prefix in read.tokens.iter().flat_map(|token| &token.upstreams) {
        if !known.iter().any(|known| known.value == prefix.value) {
            let wrong = shown_at(&prefix.at, prefix.value.as_str());
            reading.note(&prefix.at, format!("{wrong} is the prefix of no upstream; there are {listed}"));
        }
    }
}

/// Notes where a request would get past the tokens, or where there is none.
fn check_openness(reading: &Reading<'_>, read: &Globals) {
    for at in read.upstreams.iter().filter_map(|upstream| {
        upstream.direct_mode_at.as_ref().filter(|_| upstream.upstream.direct_mode == DirectMode::Redirect)
    }) {
        if !read.tokens.is_empty() {
            let problem = "\"redirect\" does not go with auth.tokens: a redirected client shows its request to the upstream, \
                           where nobody asks for a token; write proxy";
            reading.note(at, problem);
        }
    }
    let has_operators = read.tokens.iter().any(|token| token.token.admin() != AdminRole::None);
    if let (Some(at), Some(admin)) = (&read.admin_open_at, &read.config.admin)
        && !has_operators
    {
        reading.note(at, format!("{} {NEEDS_TOKEN}", shown(&admin.listen_address)));
    }
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

//! `docs/headers.md`, read by a machine. A word that is not explained there is a mistake.

const PAGE: &str = include_str!("../../../docs/headers.md");

const COLUMNS: &str = "| header | arrival | queued | direct | content | held | direct answer | own answers |";

/// What a request's header means to proxq itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Read,
    Secret,
    Owner,
    Nothing,
}

/// What the next hop gets of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Forwarded,
    Stripped,
    Set,
    Extended,
    Defaulted,
    Reduced,
    Refused,
    Bypass,
}

/// Whether proxq's own answers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Always,
    Sometimes,
    Never,
}

/// Which requests a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Any,
    HostPreserved,
    WebSocket,
    NamedInConnection,
    Disguised,
    Chunked,
    TrustedPeer,
    OtherPeer,
    Preferred,
    Repeated,
    ListedAsSecret,
    NamedAsSecret,
    Cached,
    Hit,
    EventStream,
    WithAuth,
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The header's name in lower case; ends with `*` for all others that begin so, and is `*` for any other.
    pub(super) name: String,
    pub(super) state: State,
    pub(super) arrival: Arrival,
    pub(super) queued: Passage,
    pub(super) direct: Passage,
    pub(super) content: Passage,
    pub(super) held: Passage,
    pub(super) direct_answer: Passage,
    pub(super) own: Own,
}

/// Every row of the page.
pub(super) fn rows() -> Vec<Row> {
    let mut lines = PAGE.lines().skip_while(|line| *line != COLUMNS);
    assert!(lines.next().is_some(), "the page has a table with {COLUMNS}");
    let rows: Vec<Row> = lines.skip(1).take_while(|line| line.starts_with('|')).map(row).collect();
    let mut kinds: Vec<_> = rows.iter().map(|row| (&row.name, format!("{:?}", row.state))).collect();
    kinds.sort();
    kinds.windows(2).for_each(|two| assert_ne!(two[0], two[1], "a header has two rows for one state"));
    rows
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [header, arrival, queued, direct, content, held, direct_answer, own] = cells[..] else {
        panic!("not eight cells: {line}")
    };
    let (name, state) = match header.split_once(" (") {
        Some((name, state)) => (name, state_of(state.trim_end_matches(')'), line)),
        None => (header, State::Any),
    };
    let name = match name.strip_suffix(", others") {
        Some(family) => family.trim_matches('`'),
        None if name == "any other" => "*",
        None => name.strip_prefix('`').and_then(|name| name.strip_suffix('`')).unwrap_or_else(|| panic!("{line}")),
    };
    Row {
        name: name.to_ascii_lowercase(),
        state,
        arrival: match arrival {
            "read" => Arrival::Read,
            "secret" => Arrival::Secret,
            "owner" => Arrival::Owner,
            "–" => Arrival::Nothing,
            word => panic!("{word:?} is no word for arrivals: {line}"),
        },
        queued: passage(queued, line),
        direct: passage(direct, line),
        content: passage(content, line),
        held: passage(held, line),
        direct_answer: passage(direct_answer, line),
        own: match own {
            "always" => Own::Always,
            "sometimes" => Own::Sometimes,
            "–" => Own::Never,
            word => panic!("{word:?} is no word for own answers: {line}"),
        },
    }
}

fn state_of(words: &str, line: &str) -> State {
    match words {
        "`preserveHost: true`" => State::HostPreserved,
        "WebSocket handshake" => State::WebSocket,
        "named in `Connection`" => State::NamedInConnection,
        "named like a stripped or set one, but for `_`" => State::Disguised,
        "chunked, with `TE: trailers`" => State::Chunked,
        "trusted peer" => State::TrustedPeer,
        "other peer" => State::OtherPeer,
        "after `Prefer: wait`" => State::Preferred,
        "repeated submission" => State::Repeated,
        "listed in `secretHeaders`" => State::ListedAsSecret,
        "named like a credential" => State::NamedAsSecret,
        "cache off" => State::Any,
        "cache on" => State::Cached,
        "answered from the cache" => State::Hit,
        "`text/event-stream`" => State::EventStream,
        "with `auth`" => State::WithAuth,
        _ => panic!("{words:?} is no state that can be brought about: {line}"),
    }
}

fn passage(word: &str, line: &str) -> Passage {
    match word {
        "forwarded" => Passage::Forwarded,
        "stripped" => Passage::Stripped,
        "set" => Passage::Set,
        "extended" => Passage::Extended,
        "defaulted" => Passage::Defaulted,
        "reduced" => Passage::Reduced,
        "refused" => Passage::Refused,
        "bypass" => Passage::Bypass,
        _ => panic!("{word:?} says nothing of what is passed on: {line}"),
    }
}

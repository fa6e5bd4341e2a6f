//! What a program can check about the sources: every import leads downwards, no modules import each other, and what
//! belongs to one file stays there.
//!
//! A room is a module at the top of a crate with all that is below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use harness::checkout;

/// The rooms of the server. Each imports only rooms that stand after it, so data moves one way and no two rooms import
/// each other.
const ROOMS: [&[&str]; 3] = [
    // what the program is made of, and what joins the stages
    &["costs", "program", "reload", "telemetry", "healthcheck", "commands", "cli", "server", "shutdown"],
    // the stages, in the order in which data meets them, and the parts that several stages share
    &[
        "admin",
        "listen",
        "intake",
        "jobs_api",
        "route",
        "admit",
        "direct",
        "worker",
        "upkeep",
        "cache",
        "deployment",
        "ended",
        "follow",
        "turns",
        "idempotency",
        "redirects",
        "result_url",
        "replay",
        "flow",
        "reply",
        "traces",
        "store",
        "forward",
    ],
    // the vocabulary
    &[
        "credential",
        "arrival",
        "upload",
        "shortage",
        "seldom",
        "process",
        "multipart",
        "spelling",
        "slots",
        "stop_signals",
        "tasks",
        "metrics",
        "failure",
        "list_items",
        "lock",
        "log_lines",
        "config",
        "access_token",
        "tls",
        "key_file",
        "current",
        "default_port",
        "trust",
        "path",
        "pacing",
        "job",
        "sealing",
        "random",
        "clock",
    ],
];

/// A source file without its unit tests and its comments.
struct Source {
    /// Its path below `src/`, without the ending.
    module: String,
    text: String,
}

impl Source {
    fn room(&self) -> &str {
        self.module.split('/').next().expect("a path has a first part")
    }
}

/// The sources of a crate. Files of tests and the roots of the crate are not among them.
fn sources(package: &str) -> Vec<Source> {
    let src = checkout().join(package).join("src");
    let mut found = Vec::new();
    add_sources(&src, &src, &mut found);
    found.sort_by(|a, b| a.module.cmp(&b.module));
    found
}

fn add_sources(src: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout") {
        let path = entry.expect("an entry of it").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if ["tests", "contract", "lib", "main"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            add_sources(src, &path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let module = path.with_extension("");
            let module = module.strip_prefix(src).expect("it was found there").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let code = product.lines().map(|line| line.split("//").next().unwrap_or_default());
            found.push(Source { module, text: code.collect::<Vec<_>>().join("\n") });
        }
    }
}

/// The names behind every `prefix` in a text: `a` of `crate::a::B`, `a` and `c` of `crate::{a::B, c}`.
fn names_behind(prefix: &str, text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let is_of_path = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    for (at, _) in text.match_indices(prefix).filter(|(at, _)| !is_of_path(&text[..*at])) {
        let behind = &text[at + prefix.len()..];
        match behind.strip_prefix('{') {
            Some(list) => names.extend(first_names(list)),
            None => names.extend([first_name(behind)]),
        }
    }
    names
}

fn first_name(path: &str) -> String {
    path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of the paths in a list, up to its closing brace.
fn first_names(list: &str) -> Vec<String> {
    let (mut depth, mut begin, mut names) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(first_name(&list[begin..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(first_name(&list[begin..at]));
                begin = at + 1;
            }
            _ => {}
        }
    }
    names
}

type Imports = BTreeMap<String, BTreeSet<String>>;

/// What the modules of a folder import of each other; `folder` is a path below `src/`, empty for the rooms.
fn imports_within(folder: &str, sources: &[Source]) -> Imports {
    let inside = |source: &Source| {
        let below = if folder.is_empty() {
            Some(&*source.module)
        } else {
            source.module.strip_prefix(folder)?.strip_prefix('/')
        };
        below.map(|below| (below.split('/').next().unwrap_or_default().to_owned(), below.matches('/').count()))
    };
    let modules: BTreeSet<_> = sources.iter().filter_map(inside).map(|(module, _)| module).collect();
    let mut imports = Imports::new();
    for source in sources {
        let Some((module, depth)) = inside(source) else { continue };
        let absolute =
            if folder.is_empty() { "crate::".to_owned() } else { format!("crate::{}::", folder.replace('/', "::")) };
        let mut names = names_behind(&absolute, &source.text);
        names.extend(names_behind(&"super::".repeat(depth + 1), &source.text));
        names.retain(|name| modules.contains(name) && *name != module);
        imports.entry(module).or_default().extend(names);
    }
    imports
}

/// Whether an import of `from` leads to `to`, perhaps by way of others.
fn leads(imports: &Imports, from: &str, to: &str) -> bool {
    let (mut open, mut seen) = (vec![from], BTreeSet::new());
    while let Some(module) = open.pop() {
        for next in imports.get(module).into_iter().flatten() {
            if next == to {
                return true;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    false
}

#[test]
fn every_room_has_its_place_in_the_order() {
    let rooms: BTreeSet<_> = sources("proxq-server").iter().map(|source| source.room().to_owned()).collect();
    assert!(rooms.len() > 30, "the sources were found");
    let ordered: BTreeSet<_> = ROOMS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(rooms, ordered);
}

#[test]
fn no_import_leads_upwards() {
    let order = ROOMS.concat();
    let place = |room: &str| order.iter().position(|other| *other == room);
    for source in sources("proxq-server") {
        for imported in names_behind("crate::", &source.text) {
            let (own, other) = (place(source.room()), place(&imported));
            assert!(other.is_none() || own <= other, "{} imports {imported}, which stands before it", source.module);
        }
    }
}

#[test]
fn no_modules_import_each_other() {
    for package in ["proxq-protocol", "proxq-server", "proxq-client", "proxq-openai"] {
        let sources = sources(package);
        let folders = sources.iter().filter_map(|source| Some(source.module.rsplit_once('/')?.0));
        let folders: BTreeSet<_> = folders.chain([""]).collect();
        for folder in folders {
            let imports = imports_within(folder, &sources);
            for (from, to) in imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
                assert!(!leads(&imports, to, from), "{package}: {folder}/{from} and {to} import each other");
            }
        }
    }
}

#[test]
fn only_the_server_names_a_backend() {
    for source in sources("proxq-server") {
        let may = source.room() == "server" || source.room() == "store";
        let names_one = ["store::embedded", "store::redis"].iter().any(|backend| source.text.contains(backend));
        assert!(may || !names_one, "{} names a backend", source.module);
    }
}

#[test]
fn only_the_clock_reads_the_time_of_day() {
    for source in sources("proxq-server") {
        assert!(
            source.room() == "clock" || !source.text.contains("SystemTime"),
            "{} reads the wall clock",
            source.module
        );
    }
}

#[test]
fn encodings_stay_where_they_belong() {
    for Source { module, text } in sources("proxq-server") {
        let knows_serde = module.starts_with("config/raw")
            || module.starts_with("admin/model")
            || module.starts_with("commands/") // a client of the APIs
            || ["config/schema", "reply", "store/redis/envelope"].contains(&module.as_str());
        assert!(knows_serde || !text.contains("serde"), "{module} knows how texts are encoded");
        let knows_jobs = module.starts_with("store/record") || module.starts_with("store/redis");
        let knows_spans = module == "traces/exporter";
        assert!(knows_jobs || knows_spans || !text.contains("prost"), "{module} knows how a job is encoded");
    }
}

#[test]
fn what_decides_does_not_wait() {
    for Source { module, text } in sources("proxq-server") {
        let decides = ["route", "admit", "job/delivery", "cache/key", "cache/policy"].contains(&module.as_str());
        if decides || module.starts_with("admit/") {
            assert!(!text.contains("async ") && !text.contains(".await"), "{module} waits for something");
        }
    }
}

#[test]
fn tasks_are_spawned_in_one_place() {
    let ways = [
        "tokio::spawn(",
        "task::spawn(",
        "spawn_blocking(",
        "runtime.spawn(",
        "spawn_local(",
        "JoinSet",
        "TaskTracker",
        "TokioExecutor",
    ];
    for Source { module, text } in sources("proxq-server").into_iter().filter(|source| source.room() != "tasks") {
        for way in ways {
            assert!(!text.contains(way), "{module} spawns a task that nobody waits for: {way}");
        }
    }
}

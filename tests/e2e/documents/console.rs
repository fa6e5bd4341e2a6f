//! Sessions: every command is typed, in the order of the page, and its output compared with what the page shows.
//!
//! What differs from run to run may differ: ids (each one of the page stands for one real one, throughout), times, and what
//! the page leaves out by `…`, in a line or as one.

use std::collections::HashMap;
use std::fs;

use harness::{Answer, Block, Client, Proxq, Upstream};
use regex::Regex;
use tempfile::TempDir;

use super::{SHOWN_OPERATORS, SHOWN_PROXQ, pages, shell};

/// Where the pages have its upstream.
const SHOWN_UPSTREAM: &str = "127.0.0.1:3000";

/// Has curl show no progress, and end.
const CURLRC: &str = "silent\nshow-error\nmax-time = 60\n";

/// What differs from run to run: what is left out as lines or within one, ids, times.
const VARIABLE: [&str; 6] = [
    r"(?m)^…\n",
    "…",
    "X-Request-Id: [0-9a-f-]{36}",
    "[0-9a-f]{8}-[0-9a-f-]{27}",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [\d:]{8} GMT",
];

/// A command and what the page says that it prints.
#[derive(Debug, Default)]
struct Step {
    command: String,
    output: String,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), output: String::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("{}: no command comes first", block.place()));
        match line.strip_prefix("> ") {
            Some(more) if step.output.is_empty() => step.command.extend(["\n", more]),
            _ => step.output.extend([line, "\n"]),
        }
    }
    steps
}

/// A page's sessions, with a server and an upstream of their own.
struct Session {
    folder: TempDir,
    proxq: Proxq,
    operators: Client,
    upstream: Upstream,
    /// Real ids by those of the page.
    ids: HashMap<String, String>,
    /// The last exit code.
    code: i32,
}

/// What the pages say of the upstream.
async fn upstream() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.plan(|head| match head.word(1) {
        "/broken" => Answer::nothing().close(),
        "/slow" => Answer::nothing().hang(),
        "/moved" => Answer::status(307).header("Location", "/reports"),
        _ => Answer::status(200)
            .header("Content-Type", "application/json")
            .body("{\"report\":\"2026 was a good year\"}\n"),
    });
    upstream
}

impl Session {
    async fn start() -> Self {
        let upstream = upstream().await;
        let proxq = Proxq::by_flags(&upstream.url(), &["--admin=127.0.0.1:0"]).await;
        let operators = proxq.operators().await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".curlrc"), CURLRC).unwrap();
        Self { folder, proxq, operators, upstream, ids: HashMap::new(), code: 0 }
    }

    /// Types a command of the page; gives its output as the page would show it, ids and times aside.
    async fn output(&mut self, command: &str) -> String {
        let (proxq, upstream) = (self.proxq.address().to_string(), self.upstream.address().to_string());
        let operators = self.operators.address().to_string();
        let mut real = command.replace(SHOWN_PROXQ, &proxq).replace(SHOWN_OPERATORS, &operators);
        for (shown, id) in &self.ids {
            real = real.replace(shown, id);
        }
        let (code, output) = shell(self.folder.path(), format!("(exit {})\n{real}", self.code)).await;
        self.code = code;
        let output = output.replace('\r', "").replace(&proxq, SHOWN_PROXQ).replace(&upstream, SHOWN_UPSTREAM);
        output.trim_end().to_owned()
    }

    /// Compares an output with what the page shows, and learns the ids that are new.
    fn compare(&mut self, step: &Step, output: &str, place: &str) {
        let Shown { pattern, ids } = self.shown(step.output.trim_end());
        let Some(found) = pattern.captures(output) else {
            panic!("{place}: $ {}\n--- shown\n{}\n--- is\n{output}", step.command, step.output.trim_end())
        };
        for (number, id) in ids.into_iter().enumerate() {
            let real = found[number + 1].to_owned();
            let known = self.ids.entry(id).or_insert_with(|| real.clone());
            assert_eq!(*known, real, "{place}: one id of the page is two");
        }
    }

    /// What the page shows, as a pattern.
    fn shown(&self, text: &str) -> Shown {
        let variable = Regex::new(&VARIABLE.join("|")).expect("a valid pattern");
        let (mut pattern, mut ids, mut end) = (String::from("^"), Vec::new(), 0);
        for part in variable.find_iter(text) {
            pattern += &regex::escape(&text[end..part.start()]);
            end = part.end();
            let part = part.as_str();
            if let Some(known) = self.ids.get(part) {
                pattern += &regex::escape(known);
            } else if part.len() == ID_LENGTH {
                pattern += "([0-9a-f-]{36})";
                ids.push(part.to_owned());
            } else {
                pattern += kind(part);
            }
        }
        pattern += &(regex::escape(&text[end..]) + "$");
        Shown { pattern: Regex::new(&pattern).expect("made of valid parts"), ids }
    }
}

/// How long an id is; nothing else that varies has this length.
const ID_LENGTH: usize = 36;

/// The pattern of what is left out, of a request's id, a time or a date.
fn kind(shown: &str) -> &'static str {
    match shown.chars().next() {
        Some('…') if shown.ends_with('\n') => r"(?:.*\n)*?",
        Some('…') => ".*?",
        Some('X') => "X-Request-Id: [0-9a-f-]{36}",
        Some('0'..='9') => r"\d{4}-\d\d-\d\dT[\d:.]+Z",
        _ => "[A-Z][a-z]{2}, [^\n]* GMT",
    }
}

/// A pattern, and the ids of the page that its groups stand for.
struct Shown {
    pattern: Regex,
    ids: Vec<String>,
}

#[test]
fn console_sessions_print_what_is_shown() {
    harness::run(async {
        for page in pages() {
            let blocks: Vec<_> = page.blocks().into_iter().filter(|block| block.info == "console").collect();
            if blocks.is_empty() {
                continue;
            }
            let mut session = Session::start().await;
            for block in blocks {
                for step in steps(&block) {
                    let output = session.output(&step.command).await;
                    session.compare(&step, &output, &block.place());
                }
            }
        }
    });
}

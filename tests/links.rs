//! Every link of every document leads somewhere: to a file of the checkout, to a heading, or to a well-formed https URL.
//! Nothing is asked of the network.

use std::collections::HashMap;

use harness::{Document, checkout};
use url::Url;

/// A link and where it stands.
struct Link {
    file: String,
    line: usize,
    target: String,
}

/// The inline links of a line (`[text](target)`), images among them, and a reference's target (`[name]: target`).
fn targets(line: &str) -> Vec<String> {
    // What is in a code span is no link.
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let after = plain.split("](").skip(1);
    let inline = after.map(|rest| rest.split(')').next().unwrap_or_default().to_owned());
    let reference =
        plain.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.to_owned());
    inline.chain(reference).collect()
}

fn links(document: &Document) -> Vec<Link> {
    let of_line = |(line, text)| {
        let link = move |target| Link { file: document.name.clone(), line, target };
        targets(text).into_iter().map(link)
    };
    document.prose().flat_map(of_line).collect()
}

/// The anchors that GitHub makes of a document's headings.
fn anchors(document: &Document) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut anchors = Vec::new();
    for heading in document.headings() {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>();
        let anchor = kept.replace(' ', "-");
        let count = seen.entry(anchor.clone()).or_default();
        anchors.push(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// What is wrong with a link, if anything is.
fn mistake(link: &Link, documents: &[Document]) -> Option<String> {
    if link.target.contains("://") {
        let url = Url::parse(&link.target).map_err(|error| error.to_string());
        return match url {
            Err(error) => Some(error),
            Ok(url) if url.scheme() != "https" => Some("is not https".to_owned()),
            Ok(url) if !url.host_str().is_some_and(|host| host.contains('.')) => Some("has no public host".to_owned()),
            Ok(_) => None,
        };
    }
    let (path, anchor) =
        link.target.split_once('#').map_or((&link.target[..], None), |(path, anchor)| (path, Some(anchor)));
    let in_a_published_crate = link.file.starts_with("proxq-");
    if in_a_published_crate && !path.is_empty() {
        return Some("leads nowhere where the crate's registry shows it".to_owned());
    }
    let name = if path.is_empty() { Some(link.file.clone()) } else { below_checkout(&link.file, path) };
    let Some(name) = name else { return Some("leaves the checkout".to_owned()) };
    if !checkout().join(&name).exists() {
        return Some(format!("there is no {name}"));
    }
    let anchor = anchor?;
    match documents.iter().find(|document| document.name == name) {
        Some(document) if anchors(document).iter().any(|there| there == anchor) => None,
        _ => Some(format!("{name} has no #{anchor}")),
    }
}

/// A path as it is written in a document, from the checkout's folder.
fn below_checkout(file: &str, path: &str) -> Option<String> {
    let mut steps: Vec<&str> = file.split('/').collect();
    let _file = steps.pop();
    for step in path.split('/') {
        match step {
            ".." => drop(steps.pop()?),
            "." => {}
            step => steps.push(step),
        }
    }
    Some(steps.join("/"))
}

#[test]
fn every_link_leads_somewhere() {
    let documents = Document::all();
    let all: Vec<_> = documents.iter().flat_map(links).collect();
    assert!(all.len() > 100, "the links were found: {}", all.len());
    let mistakes: Vec<_> = all
        .iter()
        .filter_map(|link| {
            Some(format!("{}:{}: {}: {}", link.file, link.line, link.target, mistake(link, &documents)?))
        })
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_found_out() {
    let documents = Document::all();
    let wrong = |target: &str| {
        let link = Link { file: "docs/http.md".to_owned(), line: 1, target: target.to_owned() };
        mistake(&link, &documents).is_some()
    };
    for target in [
        "../nothing.md",
        "#no-such-heading",
        "../../x.md",
        "delivery.md#no",
        "http://example.com",
        "https://",
        "https://x",
    ] {
        assert!(wrong(target), "{target}");
    }
    for target in ["../README.md#caching", "#errors", "delivery.md", "https://crates.io/crates/h2"] {
        assert!(!wrong(target), "{target}");
    }
    assert_eq!(targets("`[a](b)` [c](d), ![e](f)"), ["d", "f"]);
    assert_eq!(targets("[a]: https://b.c"), ["https://b.c"]);
}

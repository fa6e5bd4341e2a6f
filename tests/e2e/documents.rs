//! What README and the pages in `docs` show is so: each of their blocks is tried, by what its fence says it is.
//!
//! | fence | what is done with it |
//! |---|---|
//! | `yaml` | `proxq check` takes it; those of the use cases are served |
//! | `console` | typed, and its output compared |
//! | `sh` | each command names what is there; those of procedures are carried out |
//! | `json` | equals a real answer, but for ids and times |
//! | `rust` | stands in `code.rs`, where it is compiled |
//! | `python`, `js` | run in `programs.rs`, behind a proxq that redirects them |
//! | `redis` | given to a real Redis, in `redis_access.rs` |
//! | `text` | nothing: a picture |

mod backup;
mod code;
mod console;
mod json;
mod migration;
mod programs;
mod sh;
mod use_cases;
mod yaml;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Block, Document, binary};
use tokio::task::spawn_blocking;

/// Every word that a fence may have.
const KINDS: [&str; 9] = ["yaml", "console", "sh", "json", "rust", "python", "js", "redis", "text"];
/// Where the pages have proxq.
const SHOWN_PROXQ: &str = "127.0.0.1:8080";
/// Where they have its listener for operators.
const SHOWN_OPERATORS: &str = "127.0.0.1:9090";

/// The pages whose blocks are tried.
fn pages() -> Vec<Document> {
    let is_tried = |page: &Document| page.name == "README.md" || page.name.starts_with("docs/");
    Document::all().into_iter().filter(is_tried).collect()
}

/// All blocks of one kind.
fn blocks(info: &str) -> Vec<Block> {
    let found: Vec<_> = pages().iter().flat_map(Document::blocks).filter(|block| block.info == info).collect();
    assert!(!found.is_empty(), "there are {info} blocks");
    found
}

/// Runs a script in a folder, with `proxq` among the programs. Gives exit code and output, errors included.
async fn shell(folder: &Path, script: String) -> (i32, String) {
    let folder = folder.to_owned();
    let output = spawn_blocking(move || {
        Command::new("sh")
            .arg("-c")
            .arg(format!("exec 2>&1 </dev/null\n{script}"))
            .current_dir(&folder)
            .env("PATH", path())
            .env("CURL_HOME", &folder)
            .env_remove("PROXQ_CONFIG")
            .output()
            .expect("there is a shell")
    });
    let output = output.await.expect("the shell was started");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folders of programs, that of `proxq` first.
fn path() -> String {
    let own = binary().parent().map(PathBuf::from).unwrap_or_default();
    format!("{}:{}", own.display(), std::env::var("PATH").unwrap_or_default())
}

#[test]
fn every_block_is_of_a_kind_that_is_tried() {
    for block in pages().iter().flat_map(Document::blocks) {
        assert!(KINDS.contains(&block.info.as_str()), "{}: nobody tries a block of {:?}", block.place(), block.info);
    }
}

//! curl as a client.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use tokio::task::spawn_blocking;

use crate::log::Log;
use crate::waiting::within;

/// curl with these arguments. It speaks HTTP/1.1 unless they say otherwise.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--http1.1"]).args(args).stdin(Stdio::null());
    command
}

/// Runs curl to its end; gives its output.
pub async fn curl(args: &[&str]) -> String {
    run(command(args)).await
}

/// The same, with a file as its standard input.
pub async fn curl_reading(input: File, args: &[&str]) -> String {
    let mut command = command(args);
    command.stdin(input);
    run(command).await
}

async fn run(mut command: Command) -> String {
    let output = spawn_blocking(move || command.output().expect("curl is installed"));
    let output = output.await.expect("curl was started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A curl that runs beside the test, its output being read as it comes. Stopped when dropped.
#[derive(Debug)]
pub struct Curl {
    process: Child,
    output: Log,
}

impl Curl {
    /// Starts it. It passes on at once whatever it receives.
    pub fn start(args: &[&str]) -> Self {
        let mut command = command(args);
        command.arg("--no-buffer").stdout(Stdio::piped());
        let mut process = command.spawn().expect("curl is installed");
        let output = Log::follow(process.stdout.take().expect("standard output is a pipe"));
        Self { process, output }
    }

    /// Returns when a line with this text has come.
    pub async fn line(&self, text: &str) {
        let line = within(&format!("curl receives {text:?}"), self.output.line(text)).await;
        assert!(line.is_some(), "curl received no {text:?}: {}", self.output.text());
    }

    /// Waits for its end; gives all that it has received.
    pub async fn to_end(mut self) -> String {
        within("curl ends", self.output.ended()).await;
        let status = self.process.wait().expect("the process is ours");
        assert!(status.success(), "{status}: {}", self.output.text());
        self.output.text()
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

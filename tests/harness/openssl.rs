//! OpenSSL's client, which tells what a server's TLS is like.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tokio::task::spawn_blocking;

/// Connects by `openssl s_client` with these arguments, sends the input, and reads until the server closes; without input it
/// ends after the handshake. Gives all that it says.
pub async fn s_client(address: SocketAddr, args: &[&str], input: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["20", "openssl", "s_client", "-connect", &address.to_string()]).args(args);
    if !input.is_empty() {
        command.arg("-ign_eof");
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let output = spawn_blocking(move || {
        let mut child = command.spawn().expect("openssl is installed");
        // It may have ended by itself, where the handshake failed.
        let _ = child.stdin.take().expect("standard input is a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("the process is ours")
    });
    let output = output.await.expect("openssl was started");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

//! The command that proxq sends to Redis for a submission, as Redis itself saw it.

use harness::within;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::Problem;
use crate::messages::Messages;
use crate::requests::{job_id, post};
use crate::server::Server;

/// Submits one job, and gives the words of the script call that it led to, with `placeholder` in place of the job's id.
pub(crate) async fn submit_command(server: &Server, placeholder: &str) -> Result<Vec<Vec<u8>>, Problem> {
    let redis = server.redis.as_ref().ok_or("only a server on Redis sends commands")?;
    let mut monitor = BufReader::new(TcpStream::connect(redis.host_and_port()).await?);
    monitor.write_all(b"MONITOR\r\n").await?;
    let mut line = String::new();
    monitor.read_line(&mut line).await?;
    let mut client = Messages::connect(server.target.address).await?;
    let id = job_id(client.expect(&post("/job", ""), 202).await?).ok_or("a submission's answer has an id")?.to_owned();
    within("Redis tells of the script call that made the job", async {
        loop {
            line.clear();
            if monitor.read_line(&mut line).await? == 0 {
                return Err("Redis ended the connection".into());
            }
            if line.contains("\"EVALSHA\"") && line.contains(&id) {
                let mut words = words(&line)?;
                for word in &mut words {
                    if *word == id.as_bytes() {
                        *word = placeholder.as_bytes().to_vec();
                    }
                }
                return Ok(words);
            }
        }
    })
    .await
}

/// The words of a line of `MONITOR`, each in quotes and escaped as Redis does it.
fn words(line: &str) -> Result<Vec<Vec<u8>>, Problem> {
    let mut words = Vec::new();
    let mut bytes = line.bytes();
    while bytes.by_ref().any(|byte| byte == b'"') {
        let mut word = Vec::new();
        loop {
            match bytes.next().ok_or("a word without an end")? {
                b'"' => break,
                b'\\' => word.push(match bytes.next().ok_or("an escape without an end")? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                        let (high, low) = digit().zip(digit()).ok_or("an escape of two digits")?;
                        u8::try_from(high * 16 + low)?
                    }
                    itself => itself,
                }),
                byte => word.push(byte),
            }
        }
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_out_as_they_were_sent() {
        let line = r#"1700000000.1 [0 127.0.0.1:1] "EVALSHA" "" "a b" "\x00\xff\"\\\n\r\t\a\b""#;
        let expected: [&[u8]; 4] = [b"EVALSHA", b"", b"a b", b"\x00\xff\"\\\n\r\t\x07\x08"];
        assert_eq!(words(line).unwrap(), expected);
        for broken in [r#""open"#, r#""\x0"#, r#""\"#] {
            assert!(words(broken).is_err(), "{broken}");
        }
    }
}

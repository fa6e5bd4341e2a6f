//! `redis-benchmark`: one command again and again, on as many connections as a load has, without pipelining.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

use harness::Redis;
use tokio::task::spawn_blocking;

use crate::Problem;
use crate::load::CONNECTIONS;

/// What `redis-benchmark` replaces by twelve digits that differ from command to command.
pub(crate) const RANDOM: &str = "__rand_int__";
/// What a command does to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It reads what the server under test has written.
    Reads,
    /// It writes, to a database of its own that is emptied afterwards.
    Writes,
}

/// How many different numbers there are in place of [`RANDOM`].
const NUMBERS: &str = "100000000000";

/// Commands per second.
///
/// Arguments of a program have no NUL bytes, so those in the command are replaced. Redis treats all bytes alike.
pub(crate) async fn redis_benchmark(
    redis: &Redis,
    access: Access,
    words: &[Vec<u8>],
    requests: u32,
) -> Result<f64, Problem> {
    let database = match access {
        Access::Reads => "0",
        Access::Writes => "9",
    };
    let address = redis.host_and_port();
    let (host, port) = address.rsplit_once(':').ok_or("an address has a port")?;
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", host, "-p", port, "--dbnum", database, "-P", "1", "-r", NUMBERS, "--csv"]);
    command.args(["-c", &CONNECTIONS.to_string(), "-n", &requests.to_string()]);
    let without_nul = |word: &Vec<u8>| word.iter().map(|byte| if *byte == 0 { 1 } else { *byte }).collect();
    command.args(words.iter().map(without_nul).map(OsString::from_vec)).stdin(Stdio::null());
    let output = spawn_blocking(move || command.output()).await??;
    if access == Access::Writes {
        redis.run(&["EVAL", "redis.call('SELECT', ARGV[1]) return redis.call('FLUSHDB')", "0", database]);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    per_second(&text).ok_or_else(|| {
        format!("redis-benchmark gave no rate: {text}{}", String::from_utf8_lossy(&output.stderr)).into()
    })
}

/// The rate, from a line of CSV: the command, commands per second, then six latencies.
fn per_second(csv: &str) -> Option<f64> {
    let fields: Vec<_> = csv.trim_end().rsplit(',').take(7).collect();
    fields.last()?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_behind_any_command() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"EVALSHA a,\n\"b\"\",\"5000.50\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\"\n";
        assert_eq!(per_second(csv), Some(5000.5));
        assert_eq!(per_second("Could not connect"), None);
    }
}

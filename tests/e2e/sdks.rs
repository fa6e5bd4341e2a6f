//! Tests of unchanged SDKs and HTTP clients: with another base URL, each gets what it gets of a direct call.
//!
//! One process of a language makes all calls of all its clients at the same time: directly, and through a proxq on each
//! store, one of them behind a gateway that strips a prefix. [`calls`] says what each call must come to, [`scripted`] is
//! the upstream, [`way`] the way to it, and [`bench`] makes the calls and compares.

mod bench;
mod calls;
mod driver;
mod scripted;
mod seen;
mod way;

use harness::{binary, checkout};

use self::bench::Bench;
use self::calls::{of_plain_client, of_sdk, slow_async};

#[test]
fn sdks_and_clients_in_python_get_what_a_direct_call_gets() {
    binary();
    harness::run(async {
        let sdks = ["openai", "anthropic"].map(of_sdk).into_iter().flatten();
        let asynchronous = ["openai", "anthropic"].map(slow_async);
        let plain = ["requests", "httpx"].map(of_plain_client).into_iter().flatten();
        let calls: Vec<_> = sdks.chain(asynchronous).chain(plain).collect();
        let python = checkout().join("tests/.venv/bin/python");
        Bench::start().await.make(&python.display().to_string(), "sdks.py", &calls).await;
    });
}

#[test]
fn sdks_and_fetch_in_node_get_what_a_direct_call_gets() {
    binary();
    harness::run(async {
        let sdks = ["openai", "anthropic"].map(of_sdk).into_iter().flatten();
        let calls: Vec<_> = sdks.chain(of_plain_client("fetch")).collect();
        Bench::start().await.make("node", "node/sdks.mjs", &calls).await;
    });
}

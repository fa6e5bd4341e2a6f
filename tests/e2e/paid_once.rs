//! Tests that a call is paid for once: an unchanged SDK behind a gateway that cuts its requests long before there is an
//! answer, and a server that is killed between its tries.

use std::process::Command;
use std::time::Duration;

use harness::{Answer, Config, Gate, Nginx, Proxq, Store, Upstream, checkout, count_for, on_every_store, within};
use serde_json::Value;
use tokio::task::spawn_blocking;

/// How long the upstream takes for a call.
const CALL: Duration = Duration::from_secs(8);
/// How long the SDK waits for an answer, in seconds; the gateway gives up before.
const SDK_TIMEOUT_SECS: &str = "3";
/// An address of this machine on which no other test listens, so that a restarted server gets its port again.
const ADDRESS: &str = "127.0.0.7:0";

/// An upstream, a proxq in this mode, and a gateway in front of it that cuts requests after two seconds.
struct Way {
    upstream: Upstream,
    gate: Gate,
    config: Config,
    proxq: Proxq,
    gateway: Nginx,
}

impl Way {
    async fn start(store: Store, mode: &str, delivery: &str) -> Self {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        let message = serde_json::json!({"role": "assistant", "content": "paid once"});
        let choices = serde_json::json!([{"index": 0, "finish_reason": "stop", "message": message}]);
        let completion =
            serde_json::json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices});
        let answer = Answer::status(200).header("Content-Type", "application/json").body(completion.to_string());
        upstream.always(answer.wait(&gate));
        let config = store.config_for(&upstream).set("listenAddress", ADDRESS);
        let config = config.upstream("mode", mode).upstream("delivery", delivery);
        let proxq = Proxq::start(config.clone()).await;
        let gateway = Nginx::start(&format!(
            "proxy_read_timeout 2s;
             proxy_http_version 1.1;
             proxy_set_header Connection '';
             proxy_set_header Host $http_host;
             proxy_set_header X-Request-Id $request_id;
             location / {{ proxy_pass http://{}; }}",
            proxq.address()
        ));
        Self { upstream, gate, config, proxq, gateway }
    }

    /// Has the SDK make a call. Gives what it gave.
    fn call(&self, retries: u32) -> impl Future<Output = Value> + use<> {
        let python = checkout().join("tests/.venv/bin/python");
        let mut command = Command::new(python);
        command.arg(checkout().join("tests/clients/paid_once.py")).arg(format!("{}/v1", self.gateway.url()));
        command.args([SDK_TIMEOUT_SECS, &retries.to_string()]);
        let running = spawn_blocking(move || command.output());
        async {
            let output = within("the SDK's call ends", running).await.expect("the thread does not panic");
            let output = output.unwrap_or_else(|e| panic!("python does not start ({e}): run `make dep` first"));
            let (given, complaints) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            serde_json::from_str(&given).unwrap_or_else(|e| panic!("{e}: {given}\n{complaints}"))
        }
    }

    /// Kills the server once the gateway has cut the SDK's request, and starts it again.
    async fn kill_between_tries(&mut self) {
        self.upstream.arrivals(1).await;
        within("the gateway cuts the request", self.proxq.log().line("client went away before its answer")).await;
        let address = self.proxq.address().to_string();
        self.proxq.kill();
        self.proxq.start_again_with(self.config.clone().set("listenAddress", address)).await;
    }
}

async fn slow_call(store: Store, mode: &str) {
    let way = Way::start(store, mode, "auto").await;
    let (given, ()) = tokio::join!(way.call(5), async {
        way.upstream.arrivals(1).await;
        count_for(CALL).await;
        way.gate.open();
    });
    assert_eq!(given["value"], "paid once", "{given}\n{}", way.proxq.log().text());
    assert_eq!(way.upstream.received().len(), 1);
}

/// How often the SDK must try again after a crash: in Redis, for longer than a lease lasts.
fn retries_after_a_crash(store: Store) -> u32 {
    match store {
        Store::Embedded => 5,
        Store::Redis => 12,
    }
}

on_every_store! {
    async fn a_call_is_paid_for_once_in_wait(store: Store) {
        slow_call(store, "wait").await;
    }

    async fn a_call_is_paid_for_once_in_follow(store: Store) {
        slow_call(store, "follow").await;
    }

    async fn a_call_that_may_be_repeated_outlives_a_killed_server(store: Store) {
        let mut way = Way::start(store, "follow", "at-least-once").await;
        let call = way.call(retries_after_a_crash(store));
        way.kill_between_tries().await;
        way.upstream.arrivals(2).await; // the next run sends it again
        way.gate.open();
        let given = call.await;
        assert_eq!(given["value"], "paid once", "{given}\n{}", way.proxq.log().text());
        assert_eq!(way.upstream.received().len(), 2, "once by each run of the server");
    }

    async fn a_call_that_may_not_be_repeated_is_an_error_after_a_crash(store: Store) {
        let mut way = Way::start(store, "follow", "auto").await;
        let call = way.call(retries_after_a_crash(store));
        way.kill_between_tries().await;
        let given = call.await;
        assert_eq!(given["status"], 424, "{given}\n{}", way.proxq.log().text());
        let error = given["error"].as_str().unwrap_or_default();
        assert!(error.contains("worker lost") && error.contains("unknown whether"), "it says so: {error}");
        assert_eq!(way.upstream.received().len(), 1, "nothing is sent twice");
    }
}

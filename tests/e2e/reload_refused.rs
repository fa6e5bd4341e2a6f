//! Tests of refused reloads: keys that must not change, files that cannot be used, and moments without a reload.

use std::fs;

use harness::{Answer, Config, Gate, Proxq, Record, Route, Store, Upstream, on_every_store, post, within};

fn under(prefix: &str, upstream: &Upstream) -> Route {
    Route::new(prefix, &upstream.url())
}

on_every_store! {
    async fn what_cannot_change_is_refused_with_all_that_comes_with_it(store: Store) {
        let (upstream, other) = (Upstream::start().await, Upstream::start().await);
        let config = store.config().route(under("/a", &upstream));
        let mut proxq = Proxq::start(config.clone()).await;
        proxq.expect_error("not reloaded");
        let allowed = |config: Config| config.route(under("/b", &other)).set("maxWait", "1s");
        let mut forbidden = vec![
            ("listenAddress", config.clone().set("listenAddress", "127.0.0.1:1")),
            ("queue", config.clone().set("queue", "other")),
            ("jobsPath", config.clone().set("jobsPath", "/jobs")),
        ];
        forbidden.extend(match store {
            Store::Embedded => vec![
                ("embedded.fsync", config.clone().set("embedded.fsync", false)),
                ("store", config.clone().set("store", "redis")),
            ],
            Store::Redis => vec![
                ("redis.db", config.clone().set("redis.db", 1)),
                ("redis.password", config.clone().set("redis.password", "hush")),
                ("store", config.clone().set("store", "embedded")),
            ],
        });
        for (key, config) in forbidden {
            proxq.rewrite(allowed(config));
            let record = proxq.read_again().await;
            assert_eq!((record.level(), record.field("key").as_deref()), ("ERROR", Some(key)), "{record:?}");
            assert!(record.message().contains("restart") && record.field("old") != record.field("new"), "{record:?}");
            proxq.send(post("/b")).await.refused(502, "NO_UPSTREAM");
            proxq.through_queue(post("/a")).await;
        }
        proxq.rewrite(config.clone().set("queue", "other").set("jobsPath", "/jobs"));
        let before = proxq.log().lines().len();
        proxq.hang_up();
        for key in ["queue", "jobsPath"] {
            let about = |record: &Record| record.field("key").as_deref() == Some(key);
            let line = within("each key has its line", proxq.log().find_after(before, about)).await;
            assert!(line.is_some_and(|line| line.field("new").is_some()), "{key}");
        }
        assert!(!proxq.log().text().contains("hush"), "secrets are masked");
        assert_eq!(proxq.reload(allowed(config)).await, "maxWait, upstreams[/b] (added)");
    }

    async fn a_file_that_cannot_be_used_changes_nothing(store: Store) {
        let (upstream, other) = (Upstream::start_tls().await, Upstream::start().await);
        let config = store.config().route(under("/a", &upstream).set("tls.caFile", upstream.ca_file()));
        let mut proxq = Proxq::start(config.clone()).await;
        proxq.expect_error("not reloaded");
        let file = proxq.config_file();
        let refused = async |what: &str, key: &str| {
            let record = proxq.read_again().await;
            assert_eq!(record.level(), "ERROR", "{what}: {record:?}");
            assert!(format!("{record:?}").contains(key), "{what}: {record:?}");
            assert_eq!(proxq.through_queue(post("/a")).await.status, 200, "{what}");
            proxq.send(post("/b")).await.refused(502, "NO_UPSTREAM");
        };
        let more = config.clone().route(under("/b", &other));
        proxq.rewrite(more.clone().set("maxWate", "1s"));
        refused("an unknown key", "maxWait").await;
        proxq.rewrite(more.clone().set("maxWait", "soon"));
        refused("a bad value", "soon").await;
        fs::write(&file, "upstreams: [").expect("the folder is ours");
        refused("no YAML", "config.yaml:1").await;
        fs::remove_file(&file).expect("the folder is ours");
        refused("no file", "cannot be read").await;
        let broken = proxq.folder().join("broken.pem");
        fs::write(&broken, "not a certificate").expect("the folder is ours");
        proxq.rewrite(more.upstream("tls.caFile", broken.display().to_string()));
        refused("a bad certificate", "broken.pem").await;
        proxq.rewrite(config);
        let record = proxq.read_again().await;
        assert_eq!(record.message(), "configuration reloaded: nothing has changed");
    }

    async fn a_server_that_drains_does_not_reload(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(200).wait(&gate));
        let config = store.config_for(&upstream);
        let mut proxq = Proxq::start(config.clone()).await;
        proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.terminate();
        proxq.log().record("it drains", |record| record.message().starts_with("draining")).await;
        proxq.rewrite(config.set("maxWait", "1s"));
        proxq.hang_up();
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
        assert!(!proxq.log().text().contains("reloaded"), "{}", proxq.log().text());
    }

    async fn a_signal_while_it_starts_is_heard(store: Store) {
        let upstream = Upstream::start().await;
        // The signal comes while the configuration is read: from a pipe, into which it is written afterwards.
        let script = "mv config.yaml real.yaml; mkfifo config.yaml
            (exec 3>config.yaml; kill -HUP $$; cat real.yaml >&3; mv real.yaml config.yaml) &
            exec \"$@\"";
        let proxq = Proxq::builder(store.config_for(&upstream)).through(&["sh", "-c", script, "sh"]).start().await;
        let read_again = |record: &Record| record.message() == "configuration reloaded: nothing has changed";
        proxq.log().record("the signal is heard", read_again).await;
        proxq.through_queue(post("/x")).await;
    }
}

#[test]
fn a_server_started_by_flags_does_not_reload() {
    harness::run(async {
        let upstream = Upstream::start().await;
        let proxq = Proxq::without_file(&upstream.url()).await;
        let record = proxq.read_again().await;
        assert_eq!(record.level(), "WARN");
        assert!(record.message().contains("no file"), "{record:?}");
        proxq.through_queue(post("/x")).await;
    });
}

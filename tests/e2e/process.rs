//! Tests of the program: where its configuration comes from, and with which exit code it ends.

use std::fs;
use std::path::Path;

use harness::{
    Answer, Exit, Launch, Proxq, Route, Store, Upstream, get, on_every_store, on_the_store, once, post, request,
};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Writes a configuration with one upstream at the end; gives the file's path.
fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    fs::write(&file, text).expect("the folder is ours");
    file.display().to_string()
}

/// What a start with this configuration says that must not succeed.
async fn refused(text: &str) -> Exit {
    let folder = folder();
    let file = write(folder.path(), "c.yaml", text);
    let exit = Launch::new(folder.path()).args(["--config", &file]).to_exit().await;
    assert_eq!(exit.code, Some(2), "{text}\n{}", exit.log);
    assert!(!exit.log.contains("panicked"), "{}", exit.log);
    exit
}

/// Whether a server with this upstream is meant: a request through it arrives there.
async fn forwards_to(proxq: &Proxq, upstream: &Upstream) {
    proxq.through_queue(post("/x")).await;
    assert_eq!(upstream.request().await.method(), "POST");
}

/// A port that is free for now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port of loopback");
    listener.local_addr().expect("a bound socket has an address").port()
}

const UPSTREAM: &str = "upstreams:\n  - prefix: /\n    url: http://127.0.0.1:1\n";

on_the_store! {
    Embedded:

    async fn a_second_process_on_one_data_folder_fails_at_once(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream)).await;
        let folder = folder();
        let config = store.config_for(&upstream).set("dataDir", proxq.data_dir().display().to_string());
        let file = write(folder.path(), "c.yaml", &config.text());
        let exit = Launch::new(folder.path()).args(["--config", &file]).to_exit().await;
        assert_eq!(exit.code, Some(1), "{}", exit.log);
        let data_dir = proxq.data_dir().display().to_string();
        assert!(exit.log.contains(&data_dir) && exit.log.contains("another"), "{}", exit.log);
        forwards_to(&proxq, &upstream).await;
    }
}

on_every_store! {
    async fn it_ends_with_0_after_a_clean_stop(store: Store) {
        let (mut proxq, _upstream) = store.pair().await;
        proxq.stop().await;
    }

    async fn a_lock_does_not_outlive_its_process(store: Store) {
        let (mut proxq, upstream) = store.pair().await;
        proxq.kill();
        proxq.start_again().await;
        forwards_to(&proxq, &upstream).await;
    }
}

once! {
    async fn a_port_in_use_is_named_and_ends_it_with_1(store: Store) {
        let upstream = Upstream::start().await;
        let folder = folder();
        let taken = upstream.address().to_string();
        let config = store.config_for(&upstream).set("listenAddress", taken.clone());
        let config = config.set("dataDir", folder.path().join("data").display().to_string());
        let file = write(folder.path(), "c.yaml", &config.text());
        let exit = Launch::new(folder.path()).args(["--config", &file]).to_exit().await;
        assert_eq!(exit.code, Some(1), "{}", exit.log);
        assert!(exit.log.contains(&taken) && exit.log.to_lowercase().contains("in use"), "{}", exit.log);
    }

    async fn a_port_alone_means_all_interfaces(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("listenAddress", ":0")).await;
        let listening = proxq.log().record("it listens", |record| record.message() == "listening").await;
        let address: std::net::SocketAddr = listening.field("address").unwrap().parse().unwrap();
        assert!(address.ip().is_unspecified(), "{address}");
        forwards_to(&proxq, &upstream).await;
    }

    async fn a_host_name_is_resolved(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("listenAddress", "localhost:0")).await;
        assert!(proxq.address().ip().is_loopback());
        forwards_to(&proxq, &upstream).await;
    }

    async fn values_come_from_the_environment_where_the_file_says_so(store: Store) {
        let upstream = Upstream::start().await;
        let route = Route::new("/", "http://${UPSTREAM_HOST}:${UPSTREAM_PORT:-1}");
        let port = upstream.address().port().to_string();
        let proxq =
            Proxq::builder(store.config().route(route)).env("UPSTREAM_HOST", "127.0.0.1").env("UPSTREAM_PORT", port);
        forwards_to(&proxq.start().await, &upstream).await;
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    harness::run(async {
        let exit = refused("listenAdress: 127.0.0.1:0\nupstreams:\n  - prefix: /\n    url: http://127.0.0.1:1\n").await;
        for part in ["c.yaml", "listenAdress", "listenAddress"] {
            assert!(exit.log.contains(part), "{part}: {}", exit.log);
        }
        assert!(exit.log.contains(":1:") || exit.log.contains("line 1"), "{}", exit.log);
    });
}

#[test]
fn all_mistakes_of_meaning_are_reported_at_once() {
    harness::run(async {
        let text = "taskRetention: 5 minutes\ntrustedProxies: [nonsense]\nupstreams:\n\
                    \x20 - {prefix: api, url: 'http://127.0.0.1:1', timeout: 1d}\n\
                    \x20 - {prefix: /b, url: 'ftp://x', pathFilter: {patterns: ['(']}}\n\
                    \x20 - {prefix: /b/c, url: 'http://u', delivery: sometimes}\n";
        let exit = refused(text).await;
        for part in ["5 minutes", "nonsense", "api", "1d", "ftp", "(", "/b/c", "sometimes"] {
            assert!(exit.log.contains(part), "{part}: {}", exit.log);
        }
    });
}

#[test]
fn what_cannot_be_a_configuration_ends_it_with_2() {
    harness::run(async {
        for text in [
            "",
            "upstreams: []\n",
            "upstreams:\n  - prefix: /\n",
            "upstreams:\n  - url: http://127.0.0.1:1\n",
            &format!("concurrency: many\n{UPSTREAM}"),
            &format!("concurrency: 1\nconcurrency: 2\n{UPSTREAM}"),
            &format!("jobsPath: /\n{UPSTREAM}"),
            &format!("maxWait: -1s\n{UPSTREAM}"),
            "upstreams: [{prefix: /, url: 'http://a'}, {prefix: /b, url: 'http://b'}]\n",
            "upstreams: [{prefix: /__jobs, url: 'http://a'}, {prefix: /b, url: 'http://b'}]\n",
            "upstreams: [{prefix: /, url: 'http://user:pw@a'}]\n",
            "upstreams: [{prefix: /, url: 'http://a/?q'}]\n",
            "upstreams: [{prefix: /, url: 'http://${NOT_SET_ANYWHERE}'}]\n",
            "upstreams: [\n",
            "\t- not yaml",
            "just text",
        ] {
            refused(text).await;
        }
    });
}

#[test]
fn a_key_whose_feature_is_not_there_yet_is_refused_as_such() {
    harness::run(async {
        for section in ["redis: {sentinel: {}}", "redis: {durability: fsync}", "callbacks: {}", "schedules: []"] {
            let exit = refused(&format!("{section}\n{UPSTREAM}")).await;
            assert!(exit.log.contains("not supported yet"), "{section}: {}", exit.log);
        }
    });
}

#[test]
fn a_configuration_file_that_is_not_there_ends_it_with_2() {
    harness::run(async {
        let folder = folder();
        let exit = Launch::new(folder.path()).args(["--config", "nowhere.yaml"]).to_exit().await;
        assert_eq!(exit.code, Some(2), "{}", exit.log);
        assert!(exit.log.contains("nowhere.yaml"), "{}", exit.log);
        let exit = Launch::new(folder.path()).to_exit().await;
        assert_eq!(exit.code, Some(2), "neither flag, nor variable, nor config.yaml: {}", exit.log);
    });
}

#[test]
fn an_unknown_flag_ends_it_with_2() {
    harness::run(async {
        let folder = folder();
        assert_eq!(Launch::new(folder.path()).args(["--no-such-flag"]).to_exit().await.code, Some(2));
        for fine in ["--help", "--version"] {
            let exit = Launch::new(folder.path()).args([fine]).to_exit().await;
            assert_eq!(exit.code, Some(0));
            assert!(exit.output.contains("proxq"), "{}", exit.output);
        }
    });
}

#[test]
fn the_flag_wins_over_the_variable_and_the_variable_over_the_folder() {
    harness::run(async {
        let folder = folder();
        // Each file can only fail, and says in its message which one it is.
        for name in ["config.yaml", "variable.yaml", "flag.yaml"] {
            write(folder.path(), name, "nonsenseKey: 1\n");
        }
        let read = async |launch: Launch| launch.to_exit().await.log;
        let log = read(Launch::new(folder.path())).await;
        assert!(log.contains("config.yaml"), "{log}");
        let log = read(Launch::new(folder.path()).env("PROXQ_CONFIG", "variable.yaml")).await;
        assert!(log.contains("variable.yaml") && !log.contains("config.yaml"), "{log}");
        let log =
            read(Launch::new(folder.path()).env("PROXQ_CONFIG", "variable.yaml").args(["--config", "flag.yaml"])).await;
        assert!(log.contains("flag.yaml") && !log.contains("variable.yaml"), "{log}");
    });
}

#[test]
fn check_validates_and_shows_the_effective_configuration() {
    harness::run(async {
        let folder = folder();
        let good = write(folder.path(), "good.yaml", UPSTREAM);
        let exit = Launch::new(folder.path()).args(["check", "--config", &good]).to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        for part in ["taskRetention", "jobsPath", "http://127.0.0.1:1"] {
            assert!(exit.output.contains(part), "{part}: {}", exit.output);
        }
        assert!(!folder.path().join("proxq-data").exists(), "it only checks");
        let bad = write(folder.path(), "bad.yaml", "nonsenseKey: 1\n");
        let exit = Launch::new(folder.path()).args(["check", "--config", &bad]).to_exit().await;
        assert_eq!(exit.code, Some(2), "{}", exit.log);
        assert!(exit.log.contains("nonsenseKey"), "{}", exit.log);
    });
}

#[test]
fn check_takes_its_file_without_a_flag_and_names_differences_when_asked() {
    harness::run(async {
        let folder = folder();
        let file = write(folder.path(), "c.yaml", UPSTREAM);
        let named = Launch::new(folder.path()).args(["check", "--config", &file]).to_exit().await;
        let bare = Launch::new(folder.path()).args(["check", &file]).to_exit().await;
        assert_eq!((bare.code, &bare.output, bare.log.as_str()), (Some(0), &named.output, ""));
        assert!(!bare.output.contains("Differences") && !bare.output.contains("Warnings"), "{}", bare.output);
        let from_go = Launch::new(folder.path()).args(["check", "--from-go", &file]).to_exit().await;
        assert_eq!(from_go.code, Some(0), "{}", from_go.log);
        let more = from_go.output.strip_prefix(&*bare.output).expect("the rest is the same");
        assert!(more.contains("# Differences from the original that apply to this file:\n"), "{more}");
        let missing = Launch::new(folder.path()).args(["check", "missing.yaml"]).to_exit().await;
        assert_eq!(missing.code, Some(2));
        assert!(missing.log.contains("missing.yaml"), "{}", missing.log);
    });
}

#[test]
fn a_redis_section_that_is_not_used_is_named() {
    harness::run(async {
        let folder = folder();
        let file = write(folder.path(), "c.yaml", &format!("store: embedded\nredis: {{addr: 'x:1'}}\n{UPSTREAM}"));
        let exit = Launch::new(folder.path()).args(["check", &file]).to_exit().await;
        let first = exit.output.lines().next().unwrap_or_default();
        assert!(first.ends_with("embedded store (store: embedded; the redis: section is not used)"), "{first}");
        let from_go = Launch::new(folder.path()).args(["check", "--from-go", &file]).to_exit().await;
        assert!(!from_go.output.contains("no redis: section"), "{}", from_go.output);
    });
}

#[test]
fn check_and_healthcheck_know_the_environment_of_the_service_and_the_server_does_not() {
    harness::run(async {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(Store::Embedded.config_for(&upstream)).await;
        let folder = folder();
        let text = format!("listenAddress: ${{ADDRESS}}\nredis: {{password: '${{SECRET}}'}}\n{UPSTREAM}");
        let file = write(folder.path(), "config.yaml", &text);
        let environment = format!("# the service's\nADDRESS={}\nSECRET='hush # hush'\n", proxq.address());
        let environment = write(folder.path(), "environment", &environment);
        let launch = || Launch::new(folder.path());
        let checked = launch().args(["check", &file]).to_exit().await;
        assert_eq!(checked.code, Some(0), "{}", checked.log);
        assert!(checked.output.starts_with(&format!("# {file} with variables of {environment}: valid; ")));
        assert!(checked.output.contains(&proxq.address().to_string()) && !checked.output.contains("hush"));
        assert_eq!(launch().args(["healthcheck", "--config", &file]).to_exit().await.code, Some(0));
        let own = launch().args(["check"]).env("ADDRESS", "127.0.0.1:7").to_exit().await;
        assert!(own.output.contains("\nlistenAddress: \"127.0.0.1:7\"\n"), "its own environment wins: {}", own.output);
        let served = launch().args(["serve", "--config", &file]).to_exit().await;
        assert_eq!(served.code, Some(2));
        assert!(served.log.contains("the environment variable ADDRESS is not set"), "{}", served.log);
    });
}

#[test]
fn invalid_yaml_is_reported_without_the_parsers_jargon() {
    harness::run(async {
        let exit = refused("upstreams:\n  - prefix: /\n   url: http://a\n").await;
        let told =
            "c.yaml:3:4: not readable as YAML: expected another item of the list above (`- `), or a key in the column";
        assert!(exit.log.contains(told), "{}", exit.log);
        assert!(exit.log.contains("\n3 |    url: http://a\n  |    ^"), "{}", exit.log);
    });
}

#[test]
fn one_flag_serves_one_upstream_without_any_file() {
    harness::run(async {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let proxq = Proxq::without_file(&upstream.url()).await;
        assert_eq!(proxq.through_queue(post("/x?y").body("hello")).await.text(), "hello");
        assert_eq!(upstream.request().await.target(), "/x?y");
        assert!(proxq.data_dir().exists(), "--data-dir is where it keeps its jobs");
    });
}

#[test]
fn a_flag_wins_over_the_file() {
    harness::run(async {
        let folder = folder();
        let taken = free_port();
        let listener = std::net::TcpListener::bind(("127.0.0.1", taken)).expect("it was free a moment ago");
        let file = write(folder.path(), "c.yaml", &format!("listenAddress: 127.0.0.1:0\n{UPSTREAM}"));
        let listen = format!("127.0.0.1:{taken}");
        let exit = Launch::new(folder.path()).args(["--config", &file, "--listen", &listen]).to_exit().await;
        assert_eq!(exit.code, Some(1), "{}", exit.log);
        assert!(exit.log.contains(&listen), "{}", exit.log);
        drop(listener);
    });
}

#[test]
fn every_other_method_on_the_probes_is_refused_politely() {
    harness::run(async {
        let (proxq, _upstream) = Store::Embedded.pair().await;
        assert_eq!(proxq.send(request("PUT", "/__jobs/healthz")).await.status, 405);
        assert_eq!(proxq.send(get("/__jobs/healthz?x=y")).await.status, 200);
    });
}

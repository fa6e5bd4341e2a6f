//! How commands find the server, and what they say where they do not.

use std::fs;

use harness::{Launch, Store, on_the_store};

use super::Bench;

const TOKEN: &str = "0123456789abcdef";

on_the_store! {
    Embedded:

    async fn a_token_comes_from_the_environment_a_file_or_the_configuration(store: Store) {
        let bench = Bench::with(store, |config| config.set("admin.token", TOKEN)).await;
        let list = &["jobs", "list"][..];
        let without = bench.run(list, 1).await;
        assert!(without.log.contains("PROXQ_ADMIN_TOKEN or --admin-token-file"), "{}", without.log);
        let wrong = bench.launch(list).env("PROXQ_ADMIN_TOKEN", "fedcba9876543210").to_exit().await;
        assert!(wrong.code == Some(1) && wrong.log.contains("token"), "{}", wrong.log);
        assert!(!wrong.log.contains("fedcba9876543210"), "{}", wrong.log);
        assert_eq!(bench.launch(list).env("PROXQ_ADMIN_TOKEN", TOKEN).to_exit().await.code, Some(0));
        fs::write(bench.folder().join("token"), format!("{TOKEN}\n")).unwrap();
        bench.run(&[list, &["--admin-token-file", "token"]].concat(), 0).await;
        bench.run(&[list, &["--admin-token-file", "missing"]].concat(), 2).await;

        let of_config = format!(
            "{{listenAddress: '{}', admin: {{listenAddress: '{}', token: '{TOKEN}'}}, upstreams: [{{prefix: /, url: 'http://a'}}]}}",
            bench.proxq.address(),
            bench.operators.address()
        );
        fs::write(bench.folder().join("other.yaml"), of_config).unwrap();
        let by_config = |args: &[&str]| Launch::new(bench.folder()).args(args).args(["--config", "other.yaml"]);
        for args in [list, &["top", "--once"]] {
            let exit = by_config(args).to_exit().await;
            assert_eq!(exit.code, Some(0), "{args:?}: {}", exit.log);
        }
        bench.upstream.answers(200, "found");
        assert_eq!(by_config(&["submit", "/x"]).to_exit().await.output, "found");
        // Whoever is named by a flag is not shown the token of a file.
        let elsewhere = by_config(&["jobs", "list", "--admin-url", &bench.operators.url()]).to_exit().await;
        assert!(elsewhere.code == Some(1) && elsewhere.log.contains("PROXQ_ADMIN_TOKEN"), "{}", elsewhere.log);
    }

    async fn a_server_that_does_not_listen_for_operators_is_named(store: Store) {
        let bench = Bench::start(store).await;
        let away = bench.run(&["jobs", "list", "--admin-url", "http://127.0.0.1:1"], 1).await;
        for text in ["connect to http://127.0.0.1:1", "connection refused", "--admin,", "PROXQ_ADMIN_URL"] {
            assert!(away.log.contains(text), "{text}: {}", away.log);
        }
        for args in [&["top", "--once"][..], &["jobs", "cancel", "--all", "--yes"]] {
            let mixed_up = bench.run(&[args, &["--admin-url", &bench.proxq.url()]].concat(), 1).await;
            assert!(mixed_up.log.contains("is not where proxq listens for operators"), "{}", mixed_up.log);
        }
        bench.upstream.quiet().await;
        let bad = bench.run(&["jobs", "list", "--admin-url", "http://me:hush@127.0.0.1"], 2).await;
        assert!(bad.log.contains("a user or a password") && !bad.log.contains("hush"), "{}", bad.log);
        let file = bench.launch(&["submit", "/x", "--config", "missing"]).to_exit().await;
        assert_ne!(file.code, Some(2), "PROXQ_URL says all: {}", file.log);
    }

    async fn top_in_a_pipe_prints_its_view_once(store: Store) {
        let bench = Bench::start(store).await;
        bench.failed("/dead/x").await;
        let exit = bench.run(&["top"], 0).await;
        assert!(exit.output.starts_with("proxq ") && exit.output.contains("takes work"), "{}", exit.output);
        let queue = exit.output.lines().find(|line| line.starts_with("default")).unwrap_or_default();
        let cells: Vec<_> = queue.split_whitespace().collect();
        assert_eq!((cells[1], cells[2], cells[4]), ("0", "0", "1"), "{}", exit.output);
        super::assert_safe(&exit.output);
    }
}

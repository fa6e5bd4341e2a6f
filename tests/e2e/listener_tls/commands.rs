//! proxq's own commands speak TLS to the server.

use std::fs;

use harness::{Answer, Authority, Exit, Launch, Store, on_every_store, once};

use super::{Bench, HERE, showing};

/// Asks the server, which listens at a free port that only its log tells, for its health.
async fn healthcheck(bench: &Bench, args: &[&str]) -> Exit {
    let address = bench.proxq.address().to_string();
    let launch = Launch::new(bench.proxq.folder()).args(["healthcheck", "--listen", &address, "--config"]);
    launch.arg(bench.proxq.config_file()).args(args).to_exit().await
}

once! {
    async fn a_healthy_server_is_known_by_its_certificate_whatever_that_is_for(store: Store) {
        let bench = Bench::with(store, |config, authority| {
            authority.issue_expired("server", &["elsewhere.example"]);
            config
        })
        .await;
        let exit = healthcheck(&bench, &[]).await;
        assert_eq!((exit.code, exit.log.as_str()), (Some(0), ""));
        // Somebody else answers there.
        bench.authority.issue_files("other", &HERE);
        let others = showing(store.config_for(&bench.upstream), "tls", &bench.authority, "other");
        fs::write(bench.proxq.config_file(), others.text()).unwrap();
        let exit = healthcheck(&bench, &[]).await;
        assert_eq!(exit.code, Some(1));
        assert!(exit.log.contains("shows another certificate than the configuration's certFile has"), "{}", exit.log);
    }

    async fn a_server_that_wants_a_certificate_answers_with_that_or_takes_one(store: Store) {
        let bench = Bench::with(store, |config, authority| {
            config.set("tls.clientCaFile", authority.file("ca.pem").display().to_string())
        })
        .await;
        let exit = healthcheck(&bench, &[]).await;
        assert_eq!((exit.code, exit.log.as_str()), (Some(0), ""));
        let file = |of: &Authority, name: &str| of.file(name).display().to_string();
        let (cert, key) = (file(&bench.authority, "client.pem"), file(&bench.authority, "client-key.pem"));
        let exit = healthcheck(&bench, &["--cert", &cert, "--key", &key]).await;
        assert_eq!((exit.code, exit.log.as_str()), (Some(0), ""));
        let stranger = Authority::new();
        let (cert, key) = (file(&stranger, "client.pem"), file(&stranger, "client-key.pem"));
        let exit = healthcheck(&bench, &["--cert", &cert, "--key", &key]).await;
        assert_eq!(exit.code, Some(1), "{}", exit.log);
    }
}

on_every_store! {
    async fn jobs_are_submitted_and_listed(store: Store) {
        let bench = Bench::with(store, |config, _| config.set("admin.listenAddress", "127.0.0.1:0")).await;
        bench.upstream.always(Answer::status(200).body("the report"));
        let operators = bench.proxq.operators().await.url().replace("http:", "https:");
        let run = async |args: &[&str]| Launch::new(bench.proxq.folder()).args(args).to_exit().await;
        let (url, ca) = (bench.url(), bench.ca_file());
        let exit = run(&["submit", &format!("{url}/x"), "--ca", &ca]).await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "the report"), "{}", exit.log);
        let exit = run(&["submit", "--url", &url, "/x", "--ca", &ca]).await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "the report"), "{}", exit.log);
        let exit = run(&["jobs", "list", "--admin-url", &operators, "--ca", &ca]).await;
        assert!(exit.code == Some(0) && exit.output.contains("completed"), "{} {}", exit.output, exit.log);
        let exit = run(&["submit", &format!("{url}/x")]).await;
        assert!(exit.code == Some(1) && exit.log.contains("certificate"), "{}", exit.log);
        let exit = run(&["submit", &format!("{url}/x"), "--ca", "/nowhere"]).await;
        assert!(exit.code == Some(2) && exit.log.contains("use /nowhere as --ca: cannot be read"), "{}", exit.log);
        // By the configuration, the server is known by its certificate, for whatever name that is.
        let address = bench.proxq.address().to_string();
        let config = bench.proxq.config_file().display().to_string();
        let exit = run(&["submit", "--config", &config, "--listen", &address, "/x"]).await;
        assert_eq!((exit.code, exit.output.as_str()), (Some(0), "the report"), "{}", exit.log);
    }
}

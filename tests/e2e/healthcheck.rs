//! Tests of `proxq healthcheck`, which containers call, `proxq completions`, which shells read, and `proxq schema`, for
//! editors.

use harness::{Answer, Exit, Gate, Launch, Proxq, Store, Upstream, on_every_store, on_the_store, post};

/// Asks the server that listens at an address.
async fn asked(proxq: &Proxq, address: &str) -> Exit {
    let file = proxq.folder().join("config.yaml");
    Launch::new(proxq.folder()).args(["healthcheck", "--listen", address, "--config"]).args([file]).to_exit().await
}

on_every_store! {
    async fn a_server_that_takes_work_is_healthy_until_it_drains(store: Store) {
        let upstream = Upstream::start().await;
        let gate = Gate::new();
        upstream.always(Answer::status(200).wait(&gate));
        let mut proxq = Proxq::start(store.config_for(&upstream).set("jobsPath", "/queue/jobs")).await;
        let address = proxq.address().to_string();
        let exit = asked(&proxq, &address).await;
        assert_eq!((exit.code, exit.output.as_str(), exit.log.as_str()), (Some(0), "", ""));
        let all = format!(":{}", proxq.address().port());
        assert_eq!(asked(&proxq, &all).await.code, Some(0), "all interfaces are asked over loopback");

        proxq.submit(post("/x")).await;
        upstream.arrivals(1).await;
        proxq.terminate();
        // It says that it drains, then it does not listen any more.
        harness::eventually("it is not healthy", async || asked(&proxq, &address).await.code == Some(1)).await;
        let exit = asked(&proxq, &address).await;
        assert!(exit.log.contains("/queue/jobs/readyz") || exit.log.contains("DRAINING"), "{}", exit.log);
        gate.open();
        assert_eq!(proxq.exit_code().await, Some(0));
    }
}

on_the_store! {
    Redis:

    async fn a_server_without_its_redis_is_not_healthy(store: Store) {
        let upstream = Upstream::start().await;
        let config = store.config_for(&upstream);
        let redis = config.redis().expect("its jobs are there").clone();
        let proxq = Proxq::start(config).await;
        redis.kill();
        let exit = asked(&proxq, &proxq.address().to_string()).await;
        assert_eq!(exit.code, Some(1));
        assert!(exit.log.contains("503") && exit.log.contains("STORE_UNAVAILABLE"), "{}", exit.log);
    }
}

#[test]
fn a_bad_configuration_differs_from_an_unhealthy_server() {
    harness::run(async {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let exit = Launch::new(folder.path()).args(["healthcheck", "--config", "missing"]).to_exit().await;
        assert_eq!(exit.code, Some(2));
        assert!(exit.log.contains("missing"), "{}", exit.log);
    });
}

#[test]
fn without_a_configuration_the_server_is_asked_where_it_listens_by_default() {
    harness::run(async {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(Store::Embedded.config_for(&upstream)).await;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let listens = format!(":{}", proxq.address().port());
        let launch = Launch::new(folder.path()).args(["healthcheck"]).env("PROXQ_DEFAULT_LISTEN", listens);
        assert_eq!(launch.to_exit().await.code, Some(0));
    });
}

#[test]
fn a_shells_completions_are_a_script_for_it() {
    harness::run(async {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let exit = Launch::new(folder.path()).args(["completions", "bash"]).to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        let script = folder.path().join("proxq.bash");
        std::fs::write(&script, &exit.output).expect("the folder is ours");
        let completes =
            "source \"$0\"; COMP_WORDS=(proxq hea); COMP_CWORD=1; _proxq proxq hea proxq; echo \"${COMPREPLY[@]}\"";
        let bash =
            std::process::Command::new("bash").args(["-c", completes]).arg(&script).output().expect("bash is at hand");
        let (out, err) = (String::from_utf8_lossy(&bash.stdout), String::from_utf8_lossy(&bash.stderr));
        assert_eq!(out.trim(), "healthcheck", "{err}");
    });
}

#[test]
fn the_schema_is_the_one_that_is_checked_in() {
    harness::run(async {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let exit = Launch::new(folder.path()).args(["schema"]).to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        assert_eq!(exit.output.trim_end(), include_str!("../../config.schema.json").trim_end());
    });
}

//! A new certificate is shown soon after its files have changed, to those who connect from then on. A bad one is not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::{Answer, Authority, Gate, Proxq, Record, Store, TlsClient, once, within};
use tokio::time::Instant;

use super::{Bench, HERE, showing};

/// How soon a renewed certificate is in place.
const SOON: Duration = Duration::from_secs(1);

/// Asserts that this certificate is shown soon after an action.
async fn shows_soon(what: &str, client: &TlsClient, proxq: &Proxq, certificate: &[u8], action: impl FnOnce()) {
    let began = Instant::now();
    action();
    within(what, async {
        while client.certificate_at(proxq.address()).await != certificate {
            assert!(began.elapsed() < SOON, "{what}: another one is shown after {:?}", began.elapsed());
        }
    })
    .await;
}

/// Puts the files of `new` in the place of those of `old`, as certificate managers do: each in one step.
fn rename(authority: &Authority, old: &str, new: &str) {
    for ending in [".pem", "-key.pem"] {
        fs::rename(authority.file(&format!("{new}{ending}")), authority.file(&format!("{old}{ending}"))).unwrap();
    }
}

/// A folder with a certificate and its key, as Kubernetes mounts them.
fn mount(folder: &Path, version: &str, authority: &Authority, who: &str) {
    fs::create_dir_all(folder.join(version)).unwrap();
    for (name, file) in [("tls.crt", format!("{who}.pem")), ("tls.key", format!("{who}-key.pem"))] {
        fs::copy(authority.file(&file), folder.join(version).join(name)).unwrap();
    }
}

once! {
    async fn a_renewed_certificate_is_shown_within_a_second(store: Store) {
        let bench = Bench::start(store).await;
        let (client, authority) = (bench.client(), &bench.authority);
        let first = bench.shown().await;
        let new = authority.issue_files("new", &HERE);
        assert_ne!(first, new);
        shows_soon("files are renamed", &client, &bench.proxq, &new, || rename(authority, "server", "new")).await;
        let mut newer = Vec::new();
        let newer_key = authority.issue(&HERE);
        newer.extend_from_slice(newer_key.0.der());
        shows_soon("files are written in place", &client, &bench.proxq, &newer, || {
            fs::write(authority.file("server.pem"), newer_key.0.pem()).unwrap();
            fs::write(authority.file("server-key.pem"), newer_key.1.serialize_pem()).unwrap();
        })
        .await;
        let said = bench.proxq.log().record("the log tells", |record| record.message() == "certificate renewed").await;
        assert_eq!((said.level(), said.field("section").as_deref()), ("INFO", Some("tls")));
        assert!(said.field("expires").is_some(), "{said:?}");
    }

    async fn a_folder_that_is_exchanged_by_a_link_is_noticed(store: Store) {
        let authority = Authority::new();
        let first = authority.issue_files("server", &HERE);
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf { folder.path().join(name) };
        mount(folder.path(), "..1", &authority, "server");
        symlink("..1", at("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), at(name)).unwrap();
        }
        let config = store.config().route(harness::Route::new("/", "http://127.0.0.1:1"));
        let config = config.set("tls.certFile", at("tls.crt").display().to_string());
        let proxq = Proxq::start(config.set("tls.keyFile", at("tls.key").display().to_string())).await;
        let client = TlsClient::of(&authority);
        assert_eq!(client.certificate_at(proxq.address()).await, first);
        for version in ["..2", "..3"] {
            let new = authority.issue_files("new", &HERE);
            mount(folder.path(), version, &authority, "new");
            shows_soon("a link is exchanged", &client, &proxq, &new, || {
                symlink(version, at("..data_tmp")).unwrap();
                fs::rename(at("..data_tmp"), at("..data")).unwrap();
            })
            .await;
        }
    }

    async fn connections_and_requests_go_on_while_the_certificate_changes(store: Store) {
        let bench = Bench::start(store).await;
        let gate = Gate::new();
        bench.upstream.always(Answer::status(200).body("response").wait(&gate));
        let mut wire = bench.client().connect(bench.proxq.address()).await;
        let request = "GET /x HTTP/1.1\r\nHost: h\r\nX-Proxq-Mode: direct\r\n\r\n";
        wire.send(request).await;
        bench.upstream.arrivals(1).await;
        let new = bench.authority.issue_files("new", &HERE);
        let (client, authority) = (bench.client(), &bench.authority);
        shows_soon("files are renamed", &client, &bench.proxq, &new, || rename(authority, "server", "new")).await;
        gate.open();
        assert_eq!(wire.reply().await.text(), "response");
        wire.send(request).await;
        assert_eq!(wire.reply().await.text(), "response", "the connection goes on");
        assert_ne!(wire.certificate(), new);
    }

    async fn a_signal_has_the_files_read_again(store: Store) {
        let bench = Bench::start(store).await;
        let new = bench.authority.issue_files("new", &HERE);
        rename(&bench.authority, "server", "new");
        let ended = bench.proxq.read_again().await;
        assert_eq!(ended.level(), "INFO", "{ended:?}");
        assert_eq!(bench.shown().await, new);
    }

    async fn a_broken_renewal_keeps_the_former_certificate_until_a_good_one_comes(store: Store) {
        let mut bench = Bench::start(store).await;
        bench.proxq.expect_error("certificate not renewed: the former one stays");
        let (mut first, file) = (bench.shown().await, |bench: &Bench, name: &str| bench.authority.file(name));
        for (what, why) in [
            ("another key", "is not the key of the certificate in"),
            ("half a file", "is not a valid PEM file"),
            ("no certificate", "has no certificate"),
            ("no file", "cannot be read"),
            ("an expired one", "has a certificate that expired at"),
        ] {
            let before = bench.proxq.log().lines().len();
            let certificate = fs::read_to_string(file(&bench, "server.pem")).unwrap();
            match what {
                "another key" => fs::write(file(&bench, "server-key.pem"), bench.authority.issue(&HERE).1.serialize_pem()),
                "half a file" => fs::write(file(&bench, "server.pem"), &certificate[..certificate.len() / 2]),
                "no certificate" => fs::write(file(&bench, "server.pem"), "nothing"),
                "no file" => fs::remove_file(file(&bench, "server.pem")),
                _ => {
                    bench.authority.issue_expired("server", &HERE);
                    Ok(())
                }
            }
            .unwrap();
            let log = bench.proxq.log().clone();
            // What stands between two writes may be read, too, and is another mistake.
            let is_said = |record: &Record| {
                let is_error = record.level() == "ERROR" && record.message() == "certificate not renewed: the former one stays";
                is_error && record.field("error").is_some_and(|said| said.contains(why) && said.contains("/server"))
            };
            within(what, log.find_after(before, is_said)).await.unwrap();
            assert_eq!(bench.shown().await, first, "{what}");
            let good = bench.authority.issue_files("new", &HERE);
            let (client, authority) = (bench.client(), &bench.authority);
            shows_soon("a good one", &client, &bench.proxq, &good, || rename(authority, "server", "new")).await;
            first = good;
        }
    }

    async fn a_reload_takes_other_files_over_and_needs_a_restart_for_none(store: Store) {
        let mut bench = Bench::start(store).await;
        let base = store.config_for(&bench.upstream).set("listenAddress", "127.0.0.1:0");
        let other = bench.authority.issue_files("other", &HERE);
        let config = showing(base.clone(), "tls", &bench.authority, "other");
        assert_eq!(bench.proxq.reload(config.clone()).await, "tls.certFile, tls.keyFile");
        assert_eq!(bench.shown().await, other);
        // Its new files are watched, too.
        let new = bench.authority.issue_files("new", &HERE);
        let (client, authority) = (bench.client(), &bench.authority);
        shows_soon("the other files", &client, &bench.proxq, &new, || rename(authority, "other", "new")).await;
        // And so is who may connect.
        let ca_file = bench.ca_file();
        assert_eq!(bench.proxq.reload(config.set("tls.clientCaFile", ca_file)).await, "tls.clientCaFile");
        let known = TlsClient::with_certificate(&bench.authority, &bench.authority, "client");
        let mut wire = known.connect(bench.proxq.address()).await;
        wire.send("GET /__jobs/healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(wire.reply().await.status, 200);

        bench.proxq.expect_error("configuration not reloaded: this cannot change while proxq runs");
        bench.proxq.rewrite(base);
        let refused = bench.proxq.read_again().await;
        assert_eq!((refused.level(), refused.field("key").as_deref()), ("ERROR", Some("tls.certFile")), "{refused:?}");
        bench.proxq.expect_error("configuration not reloaded: the former one stays");
        bench.authority.issue_expired("late", &HERE);
        let late = showing(store.config_for(&bench.upstream), "tls", &bench.authority, "late");
        bench.proxq.rewrite(late);
        let refused = bench.proxq.read_again().await;
        assert!(refused.field("error").unwrap().contains("has a certificate that expired at"), "{refused:?}");
        assert_eq!(known.certificate_at(bench.proxq.address()).await, new);
    }

    async fn an_expired_certificate_and_an_open_key_are_warned_of_at_the_start(store: Store) {
        use std::os::unix::fs::PermissionsExt as _;

        let bench = Bench::with(store, |config, authority| {
            authority.issue_expired("server", &HERE);
            fs::set_permissions(authority.file("server-key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
            config
        })
        .await;
        let warned = async |text: &str| {
            let has = |record: &harness::Record| record.field("warning").is_some_and(|said| said.contains(text));
            bench.proxq.log().record(text, has).await
        };
        assert_eq!(warned("expired at 2001-01-01T00:00:00.000Z").await.level(), "WARN");
        assert!(warned("chmod 600 it").await.field("warning").unwrap().starts_with("tls.keyFile: "));
        // Whether it matters is for clients to decide.
        let url = format!("{}/__jobs/healthz", bench.url());
        assert_eq!(bench.curl(&["-k", "-o", "/dev/null", "-w", "%{http_code}", &url]).await, "200");
    }
}

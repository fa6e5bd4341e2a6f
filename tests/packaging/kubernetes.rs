//! The manifests for Kubernetes: they are YAML, agree with each other and with what proxq needs. No cluster is asked.

use std::fs;

use harness::{Launch, checkout};
use serde_json::Value;

use super::read;

const PROXQ: &str = "packaging/kubernetes/proxq.yaml";
const KEDA: &str = "packaging/kubernetes/keda.yaml";

/// The documents of a manifest.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let parsed = text.split("\n---\n").map(serde_saphyr::from_str);
    parsed.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The document with this kind and name.
fn document(path: &str, kind: &str, name: &str) -> Value {
    let found = documents(path).into_iter().find(|part| part["kind"] == kind && part["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("{path} has no {kind} {name}"))
}

/// The file that proxq runs on.
fn config_text() -> String {
    document(PROXQ, "ConfigMap", "proxq")["data"]["config.yaml"].as_str().expect("a text").to_owned()
}

fn config() -> Value {
    serde_saphyr::from_str(&config_text()).expect("it is YAML")
}

/// The pods, and their only container.
fn pod() -> (Value, Value) {
    let pod = document(PROXQ, "Deployment", "proxq")["spec"]["template"]["spec"].clone();
    let container = pod["containers"][0].clone();
    (pod, container)
}

/// A number of seconds, as `50s`.
fn seconds(duration: &Value) -> u64 {
    duration.as_str().and_then(|text| text.strip_suffix('s')?.parse().ok()).expect("a number of seconds")
}

#[test]
fn every_document_has_a_kind_and_a_name() {
    for path in [PROXQ, KEDA] {
        for part in documents(path) {
            let texts = [&part["apiVersion"], &part["kind"], &part["metadata"]["name"]];
            assert!(texts.iter().all(|text| text.is_string()), "{path}: {part}");
        }
    }
}

#[test]
fn proxq_accepts_the_configuration_of_the_manifest() {
    harness::run(async {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for secret in ["admin-token", "redis-password"] {
            fs::write(folder.path().join(secret), "0123456789abcdef\n").expect("the folder is ours");
        }
        let text = config_text().replace("/run/proxq", &folder.path().display().to_string());
        fs::write(folder.path().join("config.yaml"), text).expect("the folder is ours");
        let exit = Launch::new(folder.path()).args(["check"]).to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
    });
}

/// What `docs/operations.md` asks of a service manager.
#[test]
fn pods_have_time_to_end_their_attempts() {
    /// After `shutdownTimeout`.
    const LAST_SECONDS: u64 = 5;
    let (pod, container) = pod();
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("it waits first");
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > before + seconds(&config()["shutdownTimeout"]) + LAST_SECONDS, "{grace}");
}

#[test]
fn pods_run_as_the_user_of_the_image_and_find_what_the_image_expects() {
    let (pod, container) = pod();
    let dockerfile = read("Dockerfile");
    let line = |start: &str| dockerfile.lines().find_map(|line| line.strip_prefix(start)).expect("the image has it");
    let user = format!("{}:{}", pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]);
    assert_eq!(user, line("USER "));
    let mounts = container["volumeMounts"].as_array().expect("a list");
    let at = |name: &str| {
        let mount = mounts.iter().find(|mount| mount["name"] == name).expect("it is mounted");
        mount["mountPath"].as_str().expect("a path").to_owned()
    };
    assert_eq!(at("data"), line("VOLUME "));
    let file = container["env"].as_array().expect("a list").iter().find(|variable| variable["name"] == "PROXQ_CONFIG");
    assert_eq!(file.expect("it is set")["value"], format!("{}/config.yaml", at("config")));
    let config = config();
    for path in [&config["admin"]["tokenFile"], &config["redis"]["passwordFile"]] {
        let path = path.as_str().expect("a path");
        assert!(path.starts_with(&format!("{}/", at("secrets"))), "{path}");
    }
    assert_eq!(container["image"], super::yaml("compose.yaml")["services"]["proxq"]["image"]);
}

#[test]
fn probes_and_ports_are_where_proxq_listens() {
    let (_, container) = pod();
    let config = config();
    for (port, key) in container["ports"]
        .as_array()
        .expect("a list")
        .iter()
        .zip([&config["listenAddress"], &config["admin"]["listenAddress"]])
    {
        assert_eq!(*key, format!(":{}", port["containerPort"]), "{port}");
    }
    assert!(config.get("jobsPath").is_none(), "it is the default, /__jobs");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/__jobs/healthz");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/__jobs/readyz");
}

/// The listener for operators takes no name that it does not know.
#[test]
fn keda_asks_by_a_name_that_is_let_in_and_with_the_token() {
    let hosts = config()["admin"]["hosts"].clone();
    let hosts = hosts.as_array().expect("a list");
    let authentication = document(KEDA, "TriggerAuthentication", "proxq-admin");
    let token = &authentication["spec"]["secretTargetRef"][0];
    let secret =
        pod().0["volumes"].as_array().expect("a list").iter().find(|volume| volume["name"] == "secrets").cloned();
    assert_eq!(token["name"], secret.expect("it is there")["secret"]["secretName"]);
    let file = config()["admin"]["tokenFile"].as_str().expect("a path").to_owned();
    assert!(file.ends_with(&format!("/{}", token["key"].as_str().expect("a name"))), "{file}");
    let scaled = document(KEDA, "ScaledObject", "api");
    let triggers = scaled["spec"]["triggers"].as_array().expect("a list");
    for trigger in triggers {
        let url = trigger["metadata"]["url"].as_str().expect("a URL");
        let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once(":9090/")).expect("the port");
        assert!(hosts.iter().any(|known| known == host), "{url}");
        assert_eq!(path, "api/v1/queues/default");
        assert_eq!(trigger["authenticationRef"]["name"], "proxq-admin");
    }
    assert_eq!(triggers[0]["metadata"]["valueLocation"], "oldestAgeSeconds");
    assert!(checkout().join("packaging/kubernetes/README.md").exists(), "the comments lead there");
}

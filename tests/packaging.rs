//! What proxq is handed out with: the compose file, the systemd unit and the workflows say what their readers understand, and
//! so do the files for Prometheus and Grafana (`packaging/monitoring.rs`) and for Kubernetes (`packaging/kubernetes.rs`). The
//! image itself takes long to build and is tried by `make image-test`.

#[path = "packaging/kubernetes.rs"]
mod kubernetes;
#[path = "packaging/monitoring.rs"]
mod monitoring;

use std::fs;
use std::process::Command;

use harness::{Launch, checkout};
use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_compose_files_configuration_is_one() {
    harness::run(async {
        let compose = yaml("compose.yaml");
        let proxq = &compose["services"]["proxq"];
        let source = proxq["configs"][0]["source"].as_str().expect("proxq has its file from a config");
        assert_eq!(proxq["configs"][0]["target"], proxq["environment"]["PROXQ_CONFIG"]);
        let content = compose["configs"][source]["content"].as_str().expect("the config is written down in place");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        // Compose makes the token in a volume.
        fs::write(folder.path().join("token"), "0123456789abcdef\n").expect("the folder is ours");
        let token = folder.path().join("token").display().to_string();
        let content = content.replace("/run/proxq-admin/token", &token);
        fs::write(folder.path().join("config.yaml"), content).expect("the folder is ours");
        let exit = Launch::new(folder.path()).args(["check"]).to_exit().await;
        assert_eq!(exit.code, Some(0), "{}", exit.log);
        for part in ["0.0.0.0:8080", "0.0.0.0:9090", "redis:6379", "http://host.docker.internal:3000"] {
            assert!(exit.output.contains(part), "{part}: {}", exit.output);
        }
    });
}

#[test]
fn compose_waits_for_a_redis_that_keeps_its_data() {
    let services = &yaml("compose.yaml")["services"];
    assert_eq!(services["proxq"]["depends_on"]["redis"]["condition"], "service_healthy");
    let redis = &services["redis"];
    assert!(redis["healthcheck"]["test"].is_array() && redis["volumes"].is_array(), "{redis}");
    let command = redis["command"].as_str().expect("a line");
    assert!(command.contains("--appendonly yes") && command.contains("--maxmemory-policy noeviction"), "{command}");
}

/// Where there is systemd. It looks for the programs, which need not be installed here.
#[test]
fn systemd_understands_every_line_of_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("there is no systemd-analyze to ask");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let unit = folder.path().join("proxq.service");
    let text = read("packaging/proxq.service").replace("=proxq ", "=/bin/true ").replace("=kill ", "=/bin/true ");
    fs::write(&unit, text).expect("the folder is ours");
    let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output().expect("it was there");
    let said = String::from_utf8_lossy(&verified.stderr);
    // What it says of the machine's own units is not our matter; an unknown key is no failure to it.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("proxq.service")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_unit_waits_for_the_clock_and_sees_the_boot_id() {
    let unit = read("packaging/proxq.service");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    assert!(value("After").is_some_and(|units| units.split(' ').any(|unit| unit == "time-sync.target")), "{unit}");
    assert_eq!(value("ProcSubset"), None, "it hides the boot id");
}

#[test]
fn workflows_may_only_read_unless_a_job_says_so() {
    for path in [".github/workflows/ci.yml", ".github/workflows/release.yml"] {
        let workflow = yaml(path);
        assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }), "{path}");
        for (name, job) in workflow["jobs"].as_object().expect("jobs by name") {
            for action in job["steps"].as_array().into_iter().flatten().filter_map(|step| step["uses"].as_str()) {
                let (_, version) = action.split_once('@').expect("a version");
                let pinned = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(pinned, "{path}: {name}: {action} can become another");
            }
        }
    }
}

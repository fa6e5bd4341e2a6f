//! Prometheus and Grafana: what they are given is well-formed, speaks of metrics that there are, and leads to what is written
//! about them. The metrics that there are are those in the table of `docs/operations.md`, which a test compares with a scrape.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use harness::{Document, checkout};
use regex::Regex;
use serde_json::Value;

use super::{read, yaml};

const DASHBOARD: &str = "packaging/grafana/proxq.json";
const ALERTS: &str = "packaging/grafana/alerts.yaml";
const TRIALS: &str = "packaging/grafana/alerts_test.yaml";
/// The page with the metrics, and with what to do about each alert.
const PAGE: &str = "docs/operations.md";

/// Has promtool judge a file.
fn promtool(args: &[&str], file: &Path) {
    let judged = Command::new("promtool").args(args).arg(file).current_dir(checkout()).output();
    let judged = judged.expect("promtool is installed by tests/dep.sh");
    let said = String::from_utf8_lossy(&[judged.stdout, judged.stderr].concat()).into_owned();
    assert!(judged.status.success(), "{}: {said}", file.display());
}

/// The metrics that are documented.
fn documented() -> BTreeSet<String> {
    let page = Document::named(PAGE);
    let names = page.prose().filter_map(|(_, line)| line.strip_prefix("| `")?.split(['{', '`']).next());
    names.filter(|name| name.starts_with("proxq_")).map(str::to_owned).collect()
}

/// The metrics that a text names, without what Prometheus adds to the names of histograms.
fn named(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bproxq_[a-z_]+").expect("a valid pattern");
    let metric = |name: &str| {
        let ending = ["_bucket", "_sum", "_count"].into_iter().find_map(|ending| name.strip_suffix(ending));
        ending.unwrap_or(name).to_owned()
    };
    name.find_iter(text).map(|name| metric(name.as_str())).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap_or_else(|error| panic!("{DASHBOARD}: {error}"))
}

/// All alerts.
fn alerts() -> Vec<Value> {
    let groups = yaml(ALERTS)["groups"].as_array().expect("a list").clone();
    let alerts: Vec<_> = groups.iter().flat_map(|group| group["rules"].as_array().expect("a list").clone()).collect();
    assert!(alerts.len() > 8, "the alerts were found: {}", alerts.len());
    alerts
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let documented = documented();
    for (path, least) in [(DASHBOARD, 28), (ALERTS, 8)] {
        let named = named(&read(path));
        let unknown: Vec<_> = named.difference(&documented).collect();
        assert!(unknown.is_empty(), "{path}: {PAGE} does not know {unknown:?}");
        assert!(named.len() >= least, "{path}: the names were found: {named:?}");
    }
    assert_eq!(
        named("sum(proxq_a_b_bucket{proxq_c=\"d\"}) proxq_e_count"),
        BTreeSet::from(["proxq_a_b", "proxq_c", "proxq_e"].map(str::to_owned))
    );
}

/// Grafana shows nothing where two panels are in one place, or ask a source that is another machine's.
#[test]
fn each_panel_has_an_id_of_its_own_and_asks_the_chosen_source() {
    let dashboard = dashboard();
    let variables: Vec<_> =
        dashboard["templating"]["list"].as_array().expect("a list").iter().map(|variable| &variable["name"]).collect();
    assert_eq!(variables, ["datasource", "job", "instance", "queue", "upstream"]);
    let mut ids = BTreeSet::new();
    let panels = dashboard["panels"].as_array().expect("a list");
    assert!(panels.len() > 25, "{}", panels.len());
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title}");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} has no description");
        for target in panel["targets"].as_array().expect("queries") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let query = target["expr"].as_str().expect("a query");
            assert!(query.contains("job=~\"$job\", instance=~\"$instance\""), "{title}: {query}");
        }
    }
}

/// Grafana does not say what is wrong with a query before somebody looks at its panel.
#[test]
fn promtool_understands_every_query_of_the_dashboard() {
    let dashboard = dashboard();
    let targets = dashboard["panels"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|panel| panel["targets"].as_array())
        .flatten();
    let rules: Vec<_> = targets
        .enumerate()
        .map(|(number, target)| {
            let query = target["expr"].as_str().expect("a query").replace("$__rate_interval", "5m");
            serde_json::json!({ "record": format!("query:{number}"), "expr": query })
        })
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("queries.yaml"); // JSON is YAML
    let groups = serde_json::json!({ "groups": [{ "name": "queries", "rules": rules }] });
    std::fs::write(&file, groups.to_string()).expect("the folder is ours");
    promtool(&["check", "rules"], &file);
}

#[test]
fn promtool_understands_the_alerts_and_their_trials_succeed() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], Path::new(ALERTS));
    promtool(&["test", "rules"], Path::new(TRIALS));
}

#[test]
fn every_alert_says_how_bad_it_is_and_where_to_read_on() {
    let page = read(PAGE);
    for alert in alerts() {
        let name = alert["alert"].as_str().expect("it has a name");
        assert!(["critical", "warning", "info"].iter().any(|known| alert["labels"]["severity"] == *known), "{name}");
        assert!(alert["for"].is_string(), "{name} says for how long");
        for text in ["summary", "description"] {
            assert!(alert["annotations"][text].as_str().is_some_and(|text| !text.is_empty()), "{name}: {text}");
        }
        let url = alert["annotations"]["runbook_url"].as_str().expect("it leads somewhere");
        let anchor = url.split_once(&format!("/{PAGE}#")).map(|(_, anchor)| anchor);
        let anchor = anchor.unwrap_or_else(|| panic!("{name}: {url} does not lead to {PAGE}"));
        assert!(page.contains(&format!("| <a id=\"{anchor}\"></a>`{name}` |")), "{name}: {PAGE} has no row #{anchor}");
    }
    let rows = page.matches("| <a id=\"proxq").count();
    assert_eq!(rows, alerts().len(), "every row is of an alert that there is");
}

#[test]
fn prometheus_understands_its_configuration_and_the_documented_one() {
    promtool(&["check", "config", "--syntax-only"], Path::new("packaging/prometheus/prometheus.yml"));
    let blocks = Document::named(PAGE).blocks();
    let shown = blocks.iter().find(|block| block.text.starts_with("scrape_configs:")).expect("the page shows one");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, &shown.text).expect("the folder is ours");
    promtool(&["check", "config", "--syntax-only"], &file);
}

/// The alert for an instance that is gone names its scrape job.
#[test]
fn compose_gives_prometheus_and_grafana_what_is_here() {
    let services = &yaml("compose.yaml")["services"];
    for service in ["prometheus", "grafana"] {
        assert_eq!(services[service]["profiles"], serde_json::json!(["monitoring"]), "{service}");
        let volumes = services[service]["volumes"].as_array().expect("a list");
        let ours = volumes.iter().filter_map(|volume| volume.as_str()?.strip_prefix("./")?.split(':').next());
        let ours: Vec<_> = ours.collect();
        assert_eq!(ours.len(), 2, "{service}: {ours:?}");
        for path in ours {
            assert!(checkout().join(path).exists(), "{service}: there is no {path}");
        }
    }
    let prometheus = yaml("packaging/prometheus/prometheus.yml");
    let job = prometheus["scrape_configs"][0]["job_name"].as_str().expect("it has a name");
    assert!(read(ALERTS).contains(&format!("up{{job=\"{job}\"}}")), "{job}");
    let token = &prometheus["scrape_configs"][0]["authorization"]["credentials_file"];
    let config = yaml("compose.yaml")["configs"]["proxq_config"]["content"].as_str().expect("it is there").to_owned();
    let config: Value = serde_saphyr::from_str(&config).expect("it is YAML");
    assert_eq!(config["admin"]["tokenFile"], *token, "both have the same token");
    let source = yaml("packaging/grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    let folder = &yaml("packaging/grafana/provisioning/dashboards/proxq.yaml")["providers"][0]["options"]["path"];
    let folder = folder.as_str().expect("a folder");
    let mounted = services["grafana"]["volumes"].to_string();
    assert!(mounted.contains(&format!("{DASHBOARD}:{folder}/proxq.json:ro")), "{mounted}");
}

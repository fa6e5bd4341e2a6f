//! What is said about files that mean nothing.

use proptest::prelude::*;

use super::*;

#[test]
fn mistakes_come_together_in_the_order_of_the_text() {
    let text = "queue: a b\nmaxWait: 1d\nlistenAdress: ':80'\nupstreams:\n- prefix: /api\n- prefix: /api/v2\n  url: http://x\n";
    assert_eq!(
        mistakes(text),
        [
            "queue: \"a b\" is not a queue name: letters, digits and . _ : - make one",
            "maxWait: \"1d\" is not a duration: unknown unit \"d\"; the units are ns, us, ms, s, m, h",
            "listenAdress: unknown key; did you mean listenAddress?",
            "upstreams[0].url: is required",
            "upstreams[1].prefix: \"/api/v2\" lies inside upstreams[0].prefix \"/api\"; routing: longest-prefix allows it",
        ]
    );
}

#[test]
fn a_mistake_names_file_line_column_and_key_and_shows_the_line() {
    let text = "upstreams:\n  - prefix: /api\n    url: http://a\n  - prefix: /api/v2 # newer\n    url: http://b\n";
    assert_eq!(
        load("etc/config.yaml", text, &env).unwrap_err().to_string(),
        "etc/config.yaml:4:13: upstreams[1].prefix: \"/api/v2\" lies inside upstreams[0].prefix \"/api\"; \
         routing: longest-prefix allows it\n  \
         |\n4 |   - prefix: /api/v2 # newer\n  |             ^^^^^^^"
    );
}

#[test]
fn what_is_not_yaml_is_shown_where_it_ends_to_be() {
    let errors = load("config.yaml", "queue: a b\nmaxWait: [1\n", &env).unwrap_err().to_string();
    assert_eq!(
        errors,
        "config.yaml:2:10: not readable as YAML: the [ that opens here is not closed\n  |\n2 | maxWait: [1\n  |          ^"
    );
    let hint = mistakes("trustedProxies: [${NET}]\n").remove(0);
    assert!(hint.ends_with("a value with ${…} must be quoted inside [ ] and { }"), "{hint}");
}

#[test]
fn an_unknown_key_is_refused_everywhere_with_the_nearest_known_one() {
    refused(&top("listenaddress: ':80'"), "listenaddress: unknown key; did you mean listenAddress?");
    refused(&top("embedded: {sync: true}"), "embedded.sync: unknown key; did you mean fsync?");
    refused(&top("limits: {maxConnection: 1}"), "limits.maxConnection: unknown key; did you mean maxConnections?");
    refused(&top("cache: {mod: none}"), "cache.mod: unknown key; did you mean mode?");
    refused(&upstream("maxRetrys: 1"), "upstreams[0].maxRetrys: unknown key; did you mean maxRetries?");
    let filter = upstream("pathFilter: {pattern: []}");
    refused(&filter, "upstreams[0].pathFilter.pattern: unknown key; did you mean patterns?");
    refused(
        &upstream("tls: {ca: x}"),
        "upstreams[0].tls.ca: unknown key; known here: caFile, certFile, keyFile, insecureSkipVerify",
    );
    refused(&top("admn: 1"), "admn: unknown key; did you mean admin?");
    refused(&top("auth: {owners: open}"), "auth.owners: unknown key; did you mean owner?");
}

#[test]
fn a_repeated_key_is_refused_everywhere_with_the_line_of_the_first() {
    refused(&top("queue: a\nmaxWait: 1s\nqueue: a"), "queue: is written twice; the first is in line 1");
    refused(
        &top("limits:\n  idleTimeout: 1s\n  idleTimeout: 1s"),
        "limits.idleTimeout: is written twice; the first is in line 2",
    );
    refused(&upstream("timeout: 1s\ntimeout: 2s"), "upstreams[0].timeout: is written twice; the first is in line 4");
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_what_was_expected() {
    refused(&top("queue: [a]"), "queue: expected a text, found a list");
    refused(&top("concurrency: many"), "concurrency: expected a whole number, found the text \"many\"");
    refused(&top("concurrency: '5'"), "concurrency: expected a whole number, found the text \"5\"");
    refused(&top("concurrency: 1.5"), "concurrency: expected a whole number, found the number 1.5");
    refused(&top("maxWait: {s: 5}"), "maxWait: expected a duration such as 30s, found a mapping");
    refused(&top("maxResponseSize: []"), "maxResponseSize: expected a size such as 10485760 or 10MiB, found a list");
    refused(&top("embedded: {fsync: maybe}"), "embedded.fsync: expected true or false, found the text \"maybe\"");
    refused(&top("embedded: true"), "embedded: expected a mapping (key: value), found true");
    refused(&top("trustedProxies: private"), "trustedProxies: expected a list, found the text \"private\"");
    refused(&top("secretHeaders: [[x]]"), "secretHeaders[0]: expected a text, found a list");
    refused("upstreams: {prefix: /}", "upstreams: expected a list, found a mapping");
    refused("upstreams: [/api]", "upstreams[0]: expected a mapping (key: value), found the text \"/api\"");
    assert_eq!(mistakes("just words")[0], ": expected a mapping (key: value), found the text \"just words\"");
    assert_eq!(mistakes("[1, 2]")[0], ": expected a mapping (key: value), found a list");
}

#[test]
fn bad_durations_and_sizes_are_refused() {
    refused(
        &top("maxWait: 30"),
        "maxWait: \"30\" is not a duration: 30 has no unit; write one of ns, us, ms, s, m, h after it",
    );
    refused(&top("maxWait: -1s"), "maxWait: \"-1s\" must not be negative");
    for (written, shown) in [("999ms", "999ms"), ("4m40.001s", "4m40.001s")] {
        let expected = format!("upstreams[0].followWait: {shown} must be at least 1s and at most 4m40s");
        refused(&upstream(&format!("followWait: {written}")), &expected);
    }
    for key in ["taskRetention", "maxWait", "shutdownTimeout"] {
        assert!(mistakes(&top(&format!("{key}: 1 h")))[0].starts_with(&format!("{key}: \"1 h\" is not a duration: ")));
    }
    for key in ["timeout", "maxTimeout", "retryDelay", "followWait"] {
        refused(&upstream(&format!("{key}: -5m")), &format!("upstreams[0].{key}: \"-5m\" must not be negative"));
    }
    for key in ["inlineBodyLimit", "maxResponseSize"] {
        refused(&top(&format!("{key}: -1")), &format!("{key}: -1 must not be negative"));
    }
    let units = "the units are KiB, MiB, GiB, kB, MB and GB, without a space before them";
    refused(
        &upstream("maxBodySize: 5Mb"),
        &format!("upstreams[0].maxBodySize: \"5Mb\" is not a size: unknown unit \"Mb\"; {units}"),
    );
    refused(
        &upstream("directProxyThreshold: lots"),
        "upstreams[0].directProxyThreshold: \"lots\" is not a size: \
         write whole bytes, or a whole number with KiB, MiB, GiB, kB, MB or GB",
    );
    refused(
        &top("limits: {maxHeaderBytes: 99999999999GiB}"),
        "limits.maxHeaderBytes: \"99999999999GiB\" is not a size: larger than the largest size, 8 EiB",
    );
}

#[test]
fn bad_counts_are_refused() {
    refused(&top("concurrency: -1"), "concurrency: -1 must not be negative");
    refused(&top("maxHops: 4294967296"), "maxHops: 4294967296 must be at most 4294967295");
    refused(&top("limits: {maxConnections: 0}"), "limits.maxConnections: 0 must be at least 1");
    refused(&upstream("maxRetries: -1"), "upstreams[0].maxRetries: -1 must not be negative");
    refused(&upstream("followHops: 0"), "upstreams[0].followHops: 0 must be at least 1");
    refused(&upstream("followHops: -1"), "upstreams[0].followHops: -1 must not be negative");
    refused(&upstream("followHops: 4294967296"), "upstreams[0].followHops: 4294967296 must be at most 4294967295");
}

#[test]
fn bad_addresses_names_and_networks_are_refused() {
    refused(&top("listenAddress: 8080"), "listenAddress: \"8080\" has no port; write one like 127.0.0.1:8080");
    let via = "is not a name for Via: letters, digits and - . _ ~ and the like make one, without spaces";
    refused(&top("viaName: a b"), &format!("viaName: \"a b\" {via}"));
    refused(&top("viaName: 'a:80'"), &format!("viaName: \"a:80\" {via}"));
    let network = "is not a network such as 10.0.0.0/8, an address, or one of the words loopback and private";
    assert_eq!(
        mistakes(&top("trustedProxies: [10.0.0.0/33, private, nowhere]")),
        [format!("trustedProxies[0]: \"10.0.0.0/33\" {network}"), format!("trustedProxies[2]: \"nowhere\" {network}")]
    );
    refused(&top("secretHeaders: ['X Y']"), "secretHeaders[0]: \"X Y\" is not the name of a header");
    refused(&top("jobsPath: jobs"), "jobsPath: \"jobs\" must start with /");
    refused(&top("jobsPath: /"), "jobsPath: \"/\" must not be /: the jobs API would hide every upstream");
}

#[test]
fn bad_words_are_refused_with_the_known_ones() {
    refused(
        &upstream("delivery: at_least_once"),
        "upstreams[0].delivery: \"at_least_once\" is none of auto, at-least-once, at-most-once; did you mean \"at-least-once\"?",
    );
    refused(&upstream("mode: sideways"), "upstreams[0].mode: \"sideways\" is none of queue, wait, follow");
    refused(&upstream("mode: direct"), "upstreams[0].mode: \"direct\" is none of queue, wait, follow");
    refused(
        &upstream("pathFilter: {mode: allow}"),
        "upstreams[0].pathFilter.mode: \"allow\" is none of blacklist, whitelist",
    );
    refused(&upstream("directProxyMode: x"), "upstreams[0].directProxyMode: \"x\" is none of proxy, redirect");
    refused(&top("routing: longest"), "routing: \"longest\" is none of strict, longest-prefix");
    refused(&top("store: sqlite"), "store: \"sqlite\" is none of embedded, redis");
    refused(
        &top("cache: {mode: redis}"),
        "cache.mode: \"redis\" needs the jobs in Redis, too (store: redis); write memory, or add a redis section",
    );
    refused(
        &upstream("cacheKeyExcludeHeaders: ['X Y']"),
        "upstreams[0].cacheKeyExcludeHeaders[0]: \"X Y\" is not the name of a header",
    );
    refused(
        &upstream("cacheKeyExcludeHeaders: ['*']"),
        "upstreams[0].cacheKeyExcludeHeaders[0]: \"*\" would be every header; write the beginning of their names before the *",
    );
    refused(&upstream("streamPaths: ['(']"), "upstreams[0].streamPaths[0]: \"(\" is not a pattern: unclosed group");
    refused(&top("cache: {mode: disk}"), "cache.mode: \"disk\" is none of none, memory, redis");
}

#[test]
fn bad_patterns_are_refused_each_in_its_place() {
    assert_eq!(
        mistakes(&upstream("pathFilter: {patterns: ['^/ok', '(', 'a(?=b)']}")),
        [
            "upstreams[0].pathFilter.patterns[1]: \"(\" is not a pattern: unclosed group",
            "upstreams[0].pathFilter.patterns[2]: \"a(?=b)\" is not a pattern: \
             look-around, including look-ahead and look-behind, is not supported",
        ]
    );
}

#[test]
fn bad_urls_are_refused_and_credentials_in_them_are_not_shown() {
    let url = |url: &str| format!("upstreams: [{{prefix: /, url: '{url}'}}]");
    refused(&url("ftp://host"), "upstreams[0].url: \"ftp://host\" has a scheme that is neither http nor https");
    refused(&url("http://host/?x=1"), "upstreams[0].url: \"http://host/?***\" must not have a query");
    for bad in [
        "http://me:hunter2@host",
        "http://host/?key=hunter2",
        "http://host/#hunter2",
        "me:hunter2@host",
        "host/x?key=hunter2",
        "http://me:a/hunter2@host",
        "http://me:a b hunter2@host",
    ] {
        let shown = load("config.yaml", &url(bad), &env).unwrap_err().to_string();
        assert!(shown.contains("upstreams[0].url") && shown.contains("**") && !shown.contains("hunter2"), "{shown}");
    }
    for redis in ["url: 'redis://me:hunter2@host?x'", "url: 'me:hunter2@host'", "addr: 'me:hunter2@host'"] {
        let shown = load("config.yaml", &top(&format!("redis: {{{redis}}}")), &env).unwrap_err().to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn unset_variables_are_refused() {
    refused(
        &top("queue: ${NOWHERE}"),
        "queue: the environment variable NOWHERE is not set; set it, or write ${NOWHERE:-default}",
    );
    assert!(
        mistakes(&top("secretHeaders: ['${NOWHERE}']"))[0].starts_with("secretHeaders[0]: the environment variable")
    );
    refused(
        &top("maxWait: ${HOST}"),
        "maxWait: \"api\" is not a duration: expected a number at \"api\"; write a duration like 300ms, 1.5h or 1h30m",
    );
}

#[test]
fn an_idempotency_key_does_not_outlive_its_job() {
    let expected = "idempotency.ttl: must be at most taskRetention, which is 1h0m0s";
    refused(&top("idempotency: {ttl: 61m}"), expected);
    refused(
        &top("taskRetention: 30m\nidempotency: {ttl: 31m}"),
        "idempotency.ttl: must be at most taskRetention, which is 30m0s",
    );
}

#[test]
fn keys_of_later_steps_are_refused_by_name() {
    for key in ["callbacks", "schedules"] {
        let found = mistakes(&top(&format!("{key}: {{}}")));
        assert!(found.len() == 1 && found[0].starts_with(&format!("{key}: is not supported yet; ")), "{found:?}");
    }
    for keys in ["redis: {sentinel: {master: x}}", "redis: {cluster: {addrs: []}}", "redis: {durability: fsync}"] {
        let found = mistakes(&top(keys));
        assert!(found.len() == 1 && found[0].contains("is not supported yet; "), "{keys}: {found:?}");
    }
    for keys in ["stream: {}", "stream: record"] {
        let found = mistakes(&upstream(keys));
        assert!(found.len() == 1 && found[0].contains("is not supported yet; "), "{keys}: {found:?}");
    }
}

#[test]
fn what_is_wrong_about_redis_is_said_without_its_password() {
    refused(&top("redis: {adr: x}"), "redis.adr: unknown key; did you mean addr?");
    let no_address = "redis.addr: \"redis\" is no address; write one like 127.0.0.1:6379";
    refused(&top("redis: {addr: redis}"), no_address);
    refused(&top("redis: {db: -1}"), "redis.db: \"-1\" is not the number of a database: 0, 1, …");
    refused(&top("redis: {durability: much}"), "redis.durability: \"much\" is none of store, fsync, replicated");
    refused(&top("redis: {url: 'redis://x', addr: 'y:1'}"), "redis.addr: says what url says, too; keep one of them");
    let both = mistakes(&top("redis: {password: hush, passwordFile: /dev/null}")).concat();
    assert!(both.starts_with("redis.passwordFile: ") && !both.contains("hush"), "{both}");
    let bad = load("x", &top("redis: {url: 'http://me:hush@x'}"), &env).unwrap_err().to_string();
    assert!(bad.contains("redis.url: ") && bad.contains("write one like redis://") && !bad.contains("hush"), "{bad}");
    refused(&top("redis: {tls: {certFile: /x}}"), "redis.tls.certFile: needs keyFile beside it");
}

#[test]
fn what_is_wrong_about_traces_is_said_without_the_secrets_of_headers() {
    let otlp = |keys: &str| top(&format!("telemetry:\n  otlp:\n    {keys}"));
    for (keys, expected) in [
        ("endpoint: host:4318", "endpoint: \"host:4318\" has no scheme; write http://… or https://…"),
        ("endpoint: 'grpc://host'", "endpoint: \"grpc://host\" has a scheme that is neither http nor https"),
        ("jobTrace: child", "jobTrace: \"child\" is none of auto, link, parent"),
        ("sampleRatio: 2", "sampleRatio: 2 must be above 0 and at most 1"),
        ("headers: []", "headers: expected a mapping (key: value), found a list"),
        ("headers: {a: {}}", "headers.a: expected a text, found a mapping"),
    ] {
        refused(&otlp(keys), &format!("telemetry.otlp.{expected}"));
    }
    for headers in [
        "headers:\n      'X Team': hush",
        "headers:\n      X-Team: \"hu\\nsh\"",
        "headers: {X-Team: \"hu\\nsh\"}",
        "headers: {X-Team: hush, 'not a name': hush}",
        "{jobTrace: child, headers: {X-Team: hush}}",
    ] {
        let said = load("x", &otlp(headers), &env).unwrap_err().to_string();
        assert!(said.contains("telemetry.otlp.") && !said.contains("hush") && !said.contains("sh\""), "{said}");
    }
}

#[test]
fn an_upstream_with_prefix_and_url_is_required() {
    for none in ["", "# nothing", "queue: a", "upstreams:", "upstreams: []"] {
        refused(none, "upstreams: at least one upstream is required, with a prefix and a url");
    }
    refused("upstreams: [{url: 'http://a'}]", "upstreams[0].prefix: is required");
    refused("upstreams: [{prefix: /, url: ''}]", "upstreams[0].url: is required, but empty");
    assert_eq!(mistakes("upstreams: [~]"), ["upstreams[0].prefix: is required", "upstreams[0].url: is required"]);
}

#[test]
fn prefixes_that_leave_each_other_no_room_are_refused() {
    let allowed = "; routing: longest-prefix allows it";
    let inside = "upstreams[1].prefix: \"/api/v2\" lies inside upstreams[0].prefix \"/api\"";
    refused(&prefixes(&["/api", "/api/v2"]), &format!("{inside}{allowed}"));
    let contains = "upstreams[1].prefix: \"/api\" contains upstreams[0].prefix \"/api/v2\"";
    refused(&prefixes(&["/api/v2", "/api/"]), &format!("{contains}{allowed}"));
    let beside = "upstreams[0].prefix: \"/\" is for a single upstream: it contains every other prefix";
    refused(&prefixes(&["/", "/api"]), &format!("{beside}{allowed}"));
    for routing in ["strict", "longest-prefix"] {
        let same =
            |one, other| format!("upstreams[1].prefix: \"{other}\" is the same as upstreams[0].prefix \"{one}\"");
        let twice = |one: &'static str, other: &'static str| format!("routing: {routing}\n{}", prefixes(&[one, other]));
        refused(&twice("/api", "/%61pi"), &same("/api", "/%61pi"));
        refused(&twice("/", "/"), &same("/", "/"));
        let in_the_way = format!("routing: {routing}\njobsPath: /api/jobs\n{}", prefixes(&["/api"]));
        refused(&in_the_way, "upstreams[0].prefix: \"/api\" contains jobsPath \"/api/jobs\"");
    }
    refused(&prefixes(&["/a/../b"]), "upstreams[0].prefix: \"/a/../b\" must not have a .. segment");
}

#[test]
fn prefixes_in_the_way_of_the_jobs_api_are_refused() {
    refused(&prefixes(&["/__jobs"]), "upstreams[0].prefix: \"/__jobs\" is the same as jobsPath \"/__jobs\"");
    refused(&prefixes(&["/__jobs/x"]), "upstreams[0].prefix: \"/__jobs/x\" lies inside jobsPath \"/__jobs\"");
    refused(&prefixes(&["/%5F_jobs"]), "upstreams[0].prefix: \"/%5F_jobs\" is the same as jobsPath \"/__jobs\"");
    let nested = format!("jobsPath: /api/jobs\n{}", prefixes(&["/api"]));
    refused(&nested, "upstreams[0].prefix: \"/api\" contains jobsPath \"/api/jobs\"");
}

#[test]
fn files_for_tls_must_be_there_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cert.pem");
    std::fs::write(&file, "x").unwrap();
    let file = file.display();
    assert_eq!(
        config(&upstream(&format!("tls: {{caFile: {file}, certFile: {file}, keyFile: {file}}}"))).upstreams.len(),
        1
    );
    refused(&upstream(&format!("tls: {{certFile: {file}}}")), "upstreams[0].tls.certFile: needs keyFile beside it");
    refused(&upstream(&format!("tls: {{keyFile: {file}}}")), "upstreams[0].tls.keyFile: needs certFile beside it");
    let missing = mistakes(&upstream("tls: {caFile: /nowhere/ca.pem, certFile: /nowhere/c, keyFile: /nowhere/k}"));
    assert_eq!(missing.len(), 3);
    assert!(missing[0].starts_with("upstreams[0].tls.caFile: \"/nowhere/ca.pem\" cannot be read: "), "{missing:?}");
    let folder = dir.path().display();
    refused(
        &upstream(&format!("tls: {{caFile: {folder}}}")),
        &format!("upstreams[0].tls.caFile: \"{folder}\" is not a file"),
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in "(.|\n){0,100}") {
        let _ = load("config.yaml", &text, &env).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_change_to_a_configuration_panics(at in 0_usize..4000, insert in "[-:{}\\[\\]*&!|>'\"$#~ \n0a/ä]{0,4}", remove in 0_usize..40) {
        let mut characters: Vec<char> = crate::config::example().chars().collect();
        let from = at.min(characters.len());
        let to = (from + remove).min(characters.len());
        characters.splice(from..to, insert.chars());
        let text: String = characters.into_iter().collect();
        let _ = load("config.yaml", &text, &env).map_err(|errors| errors.to_string());
    }
}

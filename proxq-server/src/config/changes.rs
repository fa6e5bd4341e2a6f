//! The differences between two configurations, and whether a running server can take the new one.

use std::collections::{HashMap, HashSet};

use super::Config;
use super::effective::{self, Setting};

/// What is different in another configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// A running server can take it. The keys of what has changed, in the order of the effective configuration; an
    /// upstream that came or went is one key.
    Possible(Vec<String>),
    /// It needs a restart: because of at least one of these.
    NeedRestart(Vec<FixedSetting>),
}

/// A setting that cannot change while a server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FixedSetting {
    /// Its key.
    pub(crate) key: String,
    /// What the server runs on, as YAML, masked if it is secret; `none` if it is not written there.
    pub(crate) old: String,
    /// What was written instead.
    pub(crate) new: String,
}

/// Compares what a server runs on with what it shall run on.
pub(crate) fn changes(old: &Config, new: &Config) -> Changes {
    let (old_settings, new_settings) = (effective::settings(old), effective::settings(new));
    let differences = differences(&old_settings, &new_settings);
    let other_store = old.store.name() != new.store.name();
    let fixed = differences.iter().filter(|difference| {
        // What belongs to one store only is not there with another, which says nothing more.
        let is_of_one_store = difference.old.is_none() || difference.new.is_none();
        difference.is_fixed() && !(other_store && is_of_one_store)
    });
    let fixed: Vec<_> = fixed.map(Difference::fixed).collect();
    if !fixed.is_empty() {
        return Changes::NeedRestart(fixed);
    }
    let mut keys: Vec<String> = Vec::new();
    for difference in &differences {
        let key = difference.name();
        if keys.last() != Some(&key) {
            keys.push(key);
        }
    }
    Changes::Possible(keys)
}

/// A key with another value than before.
struct Difference<'a> {
    key: &'a str,
    old: Option<&'a Setting>,
    new: Option<&'a Setting>,
    /// Whether the upstream that has the key is there before and afterwards.
    is_within: bool,
}

impl Difference<'_> {
    /// Whether it needs a restart.
    fn is_fixed(&self) -> bool {
        let comes_or_goes = self.old.is_none() || self.new.is_none();
        self.old.or(self.new).is_some_and(|setting| setting.is_fixed || (setting.is_fixed_switch && comes_or_goes))
    }

    fn fixed(&self) -> FixedSetting {
        let shown =
            |setting: Option<&Setting>| setting.map_or_else(|| "none".to_owned(), |setting| setting.value.text.clone());
        FixedSetting { key: self.key.to_owned(), old: shown(self.old), new: shown(self.new) }
    }

    /// The key; of an upstream that is there only before or only afterwards, the upstream's.
    fn name(&self) -> String {
        match (upstream(self.key), self.old, self.new) {
            (Some(upstream), Some(_), None) if !self.is_within => format!("{upstream} (removed)"),
            (Some(upstream), None, Some(_)) if !self.is_within => format!("{upstream} (added)"),
            _ => self.key.to_owned(),
        }
    }
}

/// The upstream that has this key, as `upstreams[/api]`, if one has it.
fn upstream(key: &str) -> Option<&str> {
    key.rfind("].").map(|end| &key[..=end])
}

/// Every key that is not the same in both: those of the new one in its order, then those that are gone.
fn differences<'a>(old: &'a [Setting], new: &'a [Setting]) -> Vec<Difference<'a>> {
    let by_key = |settings: &'a [Setting]| -> HashMap<&'a str, &'a Setting> {
        settings.iter().map(|setting| (setting.key.as_str(), setting)).collect()
    };
    let upstreams = |settings: &'a [Setting]| -> HashSet<&'a str> {
        settings.iter().filter_map(|setting| upstream(&setting.key)).collect()
    };
    let (in_old, in_new) = (by_key(old), by_key(new));
    let in_both: HashSet<_> = upstreams(old).intersection(&upstreams(new)).copied().collect();
    let difference = |key: &'a str, old: Option<&'a Setting>, new: Option<&'a Setting>| Difference {
        key,
        old,
        new,
        is_within: upstream(key).is_some_and(|upstream| in_both.contains(upstream)),
    };
    let changed_or_added = new.iter().filter_map(|setting| {
        let before = in_old.get(setting.key.as_str()).copied();
        (before != Some(setting)).then(|| difference(&setting.key, before, Some(setting)))
    });
    let removed = old.iter().filter(|setting| !in_new.contains_key(setting.key.as_str()));
    let removed = removed.map(|setting| difference(&setting.key, Some(setting), None));
    changed_or_added.chain(removed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn config(text: &str) -> Config {
        load("config.yaml", text, &|_| None).unwrap_or_else(|errors| panic!("{errors}")).config
    }

    const ONE: &str = "upstreams: [{prefix: /a, url: 'http://a'}]";

    fn possible(old: &str, new: &str) -> Vec<String> {
        match changes(&config(old), &config(new)) {
            Changes::Possible(keys) => keys,
            Changes::NeedRestart(fixed) => panic!("{fixed:?}"),
        }
    }

    fn fixed(old: &str, new: &str) -> Vec<[String; 3]> {
        match changes(&config(&format!("{old}\n{ONE}")), &config(&format!("{new}\n{ONE}"))) {
            Changes::NeedRestart(fixed) => fixed.into_iter().map(|of| [of.key, of.old, of.new]).collect(),
            Changes::Possible(keys) => panic!("{keys:?}"),
        }
    }

    #[test]
    fn what_changed_is_named_key_by_key() {
        assert_eq!(possible(ONE, ONE), Vec::<String>::new());
        assert_eq!(possible(ONE, &format!("{ONE} # spelled\nlimits: {{idleTimeout: 120s}}")), Vec::<String>::new());
        let top = "maxWait: 1s\nsecretHeaders: [x-a]\nlimits: {maxConnections: 1}\nconcurrency: 0\n";
        assert_eq!(
            possible(ONE, &format!("{top}{ONE}")),
            ["concurrency", "maxWait", "secretHeaders", "limits.maxConnections"]
        );
        let deep =
            "upstreams: [{prefix: /a, url: 'http://a', pathFilter: {patterns: [x]}, tls: {insecureSkipVerify: true}}]";
        assert_eq!(possible(ONE, deep), ["upstreams[/a].pathFilter.patterns", "upstreams[/a].tls.insecureSkipVerify"]);
    }

    #[test]
    fn an_upstream_that_comes_or_goes_is_one_change_and_their_order_is_none() {
        let two = "upstreams: [{prefix: /a, url: 'http://a'}, {prefix: '/b].x', url: 'http://b'}]";
        let swapped = "upstreams: [{prefix: '/b].x', url: 'http://b'}, {prefix: /a, url: 'http://a'}]";
        assert_eq!(possible(ONE, two), ["upstreams[/b].x] (added)"]);
        assert_eq!(possible(two, ONE), ["upstreams[/b].x] (removed)"]);
        assert_eq!(possible(two, swapped), Vec::<String>::new());
    }

    #[test]
    fn another_token_is_noticed_in_every_form() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "token-of-a-client").unwrap();
        let with = |keys: &str| format!("auth: {{tokens: [{{name: a, {keys}}}]}}\n{ONE}");
        let (given, other) = (with("token: token-of-a-client"), with("token: token-of-another"));
        assert_eq!(possible(ONE, &given), ["auth.tokens[a] (added)"]);
        assert_eq!(possible(&given, ONE), ["auth.tokens[a] (removed)"]);
        assert_eq!(possible(&given, &other), ["auth.tokens[a].token"]);
        let in_file = with(&format!("tokenFile: '{}'", file.display()));
        let before = config(&in_file);
        assert_eq!(changes(&before, &config(&in_file)), Changes::Possible(Vec::new()));
        std::fs::write(&file, "token-of-another\n").unwrap();
        assert_eq!(changes(&before, &config(&in_file)), Changes::Possible(vec!["auth.tokens[a].tokenFile".to_owned()]));
        assert_eq!(possible(&given, &with("token: token-of-a-client, admin: read")), ["auth.tokens[a].admin"]);
        assert_eq!(possible(ONE, &format!("auth: {{owner: credential}}\n{ONE}")), ["auth.owner"]);
    }

    #[test]
    fn what_one_upstream_has_only_before_or_after_is_named_by_its_key() {
        let with = |keys: &str| format!("upstreams: [{{prefix: /a, url: 'http://a', {keys}}}]");
        assert_eq!(possible(ONE, &with("rateLimit: 5/s")), ["upstreams[/a].rateLimit"]);
        assert_eq!(possible(&with("queue: q, maxQueued: 9"), ONE), ["upstreams[/a].queue", "upstreams[/a].maxQueued"]);
        assert_eq!(possible(&with("concurrency: 1"), &with("concurrency: 2")), ["upstreams[/a].concurrency"]);
        let breaker = ["failures", "ratio", "minimum", "window", "open"];
        assert_eq!(
            possible(ONE, &with("circuitBreaker: {}")),
            breaker.map(|key| format!("upstreams[/a].circuitBreaker.{key}"))
        );
        assert_eq!(possible(ONE, &with("circuitBreaker: ~, perCredential: {}")), Vec::<String>::new());
    }

    #[test]
    fn what_is_fixed_is_shown_with_both_values() {
        assert_eq!(fixed("", "queue: other\nmaxWait: 1s"), [["queue", "\"default\"", "\"other\""]]);
        assert_eq!(
            fixed("", "listenAddress: ':1'\njobsPath: /j\ndataDir: d\nembedded: {fsync: false}").map_keys(),
            ["listenAddress", "dataDir", "embedded.fsync", "jobsPath"]
        );
        assert_eq!(fixed("", "redis: {}"), [["store", "embedded", "redis"]]);
        assert_eq!(fixed("redis: {db: 1}", "redis: {db: 2}"), [["redis.db", "1", "2"]]);
        assert_eq!(
            fixed("redis: {}", "redis: {url: 'rediss://h'}").map_keys(),
            ["redis.url", "redis.addr", "redis.username", "redis.db"]
        );
    }

    #[test]
    fn another_secret_is_noticed_and_not_shown() {
        let [key, old, new] = &fixed("redis: {password: one}", "redis: {password: two}")[0];
        assert_eq!([key.as_str(), old, new], ["redis.password", "\"***\"", "\"***\""]);
        assert_eq!(fixed("redis: {}", "redis: {password: two}"), [["redis.password", "none", "\"***\""]]);
        let headers = |secret: &str| format!("telemetry: {{otlp: {{headers: {{X-Team: {secret}}}}}}}");
        let shown = "{x-team: \"***\"}";
        assert_eq!(fixed(&headers("one"), &headers("two")), [["telemetry.otlp.headers", shown, shown]]);
    }

    trait Keys {
        fn map_keys(self) -> Vec<String>;
    }

    impl Keys for Vec<[String; 3]> {
        fn map_keys(self) -> Vec<String> {
            self.into_iter().map(|[key, ..]| key).collect()
        }
    }
}

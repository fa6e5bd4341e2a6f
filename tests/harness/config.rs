//! Configuration files for the server under test.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::redis::Redis;

/// A configuration, key by key. JSON is YAML, so it is written as JSON.
#[derive(Clone, Debug)]
pub struct Config {
    global: Map<String, Value>,
    routes: Vec<Route>,
    redis: Option<Arc<Redis>>,
}

/// One entry of `upstreams`.
#[derive(Clone, Debug)]
pub struct Route(Map<String, Value>);

impl Route {
    /// A prefix and where it leads.
    pub fn new(prefix: &str, url: &str) -> Self {
        Self(Map::new()).set("prefix", prefix).set("url", url)
    }

    /// Sets a key. Dots lead into sections: `tls.caFile`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        set(&mut self.0, key, value.into());
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// No upstreams, every default; a free port.
    pub fn new() -> Self {
        Self { global: Map::new(), routes: Vec::new(), redis: None }.set("listenAddress", "127.0.0.1:0")
    }

    /// What a document says, except that it listens on a free port.
    pub fn from_yaml(text: &str) -> Self {
        let mut global: Map<String, Value> =
            serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let upstreams = global.remove("upstreams").expect("a configuration has upstreams");
        let upstreams = upstreams.as_array().expect("upstreams are a list").iter();
        let routes = upstreams.map(|upstream| Route(upstream.as_object().expect("an upstream has keys").clone()));
        Self { global, routes: routes.collect(), redis: None }.set("listenAddress", "127.0.0.1:0")
    }

    /// Keeps the jobs in this Redis, which lives as long as the configuration and all servers on it.
    #[must_use]
    pub fn in_redis(self, redis: Arc<Redis>) -> Self {
        let address = redis.socket().display().to_string();
        Self { redis: Some(redis), ..self.set("store", "redis").set("redis.addr", address) }
    }

    /// The same by its `host:port`, or whatever else leads to it.
    #[must_use]
    pub fn in_redis_at(self, redis: Arc<Redis>, address: &str) -> Self {
        self.in_redis(redis).set("redis.addr", address)
    }

    /// The same by a URL.
    #[must_use]
    pub fn in_redis_by(self, redis: Arc<Redis>, url: &str) -> Self {
        Self { redis: Some(redis), ..self.set("store", "redis").set("redis.url", url) }
    }

    /// The Redis in which the jobs are kept.
    pub fn redis(&self) -> Option<&Arc<Redis>> {
        self.redis.as_ref()
    }

    /// Sets a global key. Dots lead into sections: `limits.maxHeaderBytes`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        set(&mut self.global, key, value.into());
        self
    }

    /// Adds an upstream.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Sets a key of the upstream that was added last.
    #[must_use]
    pub fn upstream(mut self, key: &str, value: impl Into<Value>) -> Self {
        let route = self.routes.last_mut().expect("an upstream was added before");
        set(&mut route.0, key, value.into());
        self
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut all = self.global.clone();
        all.insert("upstreams".to_owned(), self.routes.iter().map(|route| Value::Object(route.0.clone())).collect());
        format!("{:#}\n", Value::Object(all))
    }
}

fn set(section: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            section.insert(key.to_owned(), value);
        }
        Some((outer, inner)) => {
            let entry = section.entry(outer).or_insert_with(|| json!({}));
            set(entry.as_object_mut().expect("a dot leads into a section"), inner, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_lead_into_sections() {
        let config = Config::new().set("limits.a", 1).set("limits.b", "2").route(Route::new("/", "http://u"));
        let config = config.upstream("tls.caFile", "ca.pem");
        let written: Value = serde_json::from_str(&config.text()).unwrap();
        let expected = json!({
            "listenAddress": "127.0.0.1:0",
            "limits": {"a": 1, "b": "2"},
            "upstreams": [{"prefix": "/", "url": "http://u", "tls": {"caFile": "ca.pem"}}],
        });
        assert_eq!(written, expected);
    }
}

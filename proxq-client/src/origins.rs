//! Which origins are known to be a proxq.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use reqwest::Url;
use url::Origin;

/// How many origins are remembered that were not configured. More than a program speaks to; the oldest is forgotten, which
/// costs its next call a second round trip.
const LEARNED_MAX: usize = 64;

/// Origins to which proxq's controls may go.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    configured: Vec<Origin>,
    learned: Mutex<VecDeque<Origin>>,
}

impl Origins {
    pub(crate) fn configured(urls: impl IntoIterator<Item = Url>) -> Self {
        Self { configured: urls.into_iter().map(|url| url.origin()).collect(), learned: Mutex::default() }
    }

    /// Whether the user said that it is a proxq.
    pub(crate) fn is_configured(&self, url: &Url) -> bool {
        self.configured.contains(&url.origin())
    }

    /// Whether it is a proxq, as the user or itself said.
    pub(crate) fn is_known(&self, url: &Url) -> bool {
        let origin = url.origin();
        let learned = || self.learned.lock().unwrap_or_else(PoisonError::into_inner).contains(&origin);
        self.configured.contains(&origin) || learned()
    }

    /// Notes that an answer of this URL showed that there is a proxq.
    pub(crate) fn learn(&self, url: &Url) {
        let origin = url.origin();
        if self.configured.contains(&origin) || !origin.is_tuple() {
            return;
        }
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.contains(&origin) {
            return;
        }
        if learned.len() == LEARNED_MAX {
            learned.pop_front();
        }
        learned.push_back(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let origins = Origins::configured([url("https://proxq.example/api")]);
        assert!(origins.is_known(&url("https://proxq.example:443/other")));
        origins.learn(&url("http://learned.example/x"));
        assert!(origins.is_known(&url("http://learned.example/y")));
        assert!(!origins.is_configured(&url("http://learned.example/y")));
        for other in ["http://proxq.example/api", "https://proxq.example:444/", "https://learned.example/"] {
            assert!(!origins.is_known(&url(other)), "{other}");
        }
    }

    #[test]
    fn the_oldest_origin_is_forgotten() {
        let origins = Origins::default();
        for host in 0..=LEARNED_MAX {
            origins.learn(&url(&format!("http://host-{host}.example/")));
        }
        assert!(!origins.is_known(&url("http://host-0.example/")));
        assert!(origins.is_known(&url("http://host-1.example/")));
    }
}

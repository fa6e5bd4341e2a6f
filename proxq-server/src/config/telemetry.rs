//! Where traces are sent, and how the spans of jobs relate to each other.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::UpstreamUrl;

/// Traces by OTLP over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpConfig {
    /// The base URL of the collector, to which `/v1/traces` is appended; `None`: no traces.
    pub endpoint: Option<UpstreamUrl>,
    /// What a collector asks for, such as a token.
    pub headers: Vec<CollectorHeader>,
    /// How the attempts of a job relate to its submission.
    pub job_trace: JobTrace,
    /// The resource attribute `service.name`.
    pub service_name: String,
    /// Which part of the traces that begin here is sampled.
    pub sample_ratio: f64,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: Vec::new(),
            job_trace: JobTrace::Auto,
            service_name: "proxq".to_owned(),
            sample_ratio: 1.0,
        }
    }
}

/// How the attempts of a job relate to its submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobTrace {
    /// The first attempt of a job that was not delayed is a child, all others have a trace of their own with a link.
    Auto,
    /// Every attempt has a trace of its own with a link.
    Link,
    /// Every attempt is a child.
    Parent,
}

/// A header for a collector. Its value is a secret, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct CollectorHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl CollectorHeader {
    /// A name and a value as they are written.
    ///
    /// # Errors
    /// What is wrong with one of them, as a fragment that does not show the value.
    pub fn new(name: &str, value: &str) -> Result<Self, &'static str> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not the name of a header")?;
        let mut value = HeaderValue::from_str(value).map_err(|_| "has a value that no header can have")?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &HeaderValue {
        &self.value
    }
}

impl fmt::Debug for CollectorHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

//! The keys of the section `telemetry`.

use super::{Keys, as_written, key};
use crate::config::form::Form;
use crate::config::section::Section;
use crate::config::yaml_value::YamlValue;
use crate::config::{CollectorHeader, JobTrace, OtlpConfig, Secret, UpstreamUrl};

const JOB_TRACES: [(&str, JobTrace); 3] =
    [("auto", JobTrace::Auto), ("link", JobTrace::Link), ("parent", JobTrace::Parent)];

pub(super) fn declare(keys: &mut impl Keys, otlp: &mut OtlpConfig) {
    let about = "Traces of submissions and attempts, sent by OTLP over HTTP.";
    keys.section(key("otlp", about).fixed(), |keys| declare_otlp(keys, otlp));
}

fn declare_otlp(keys: &mut impl Keys, otlp: &mut OtlpConfig) {
    let endpoint = key(
        "endpoint",
        "The base URL of the collector; proxq appends /v1/traces. Empty: no traces. Environment variables (OTEL_…) are \
         not read.",
    );
    keys.optional(
        endpoint.suggested("\"http://127.0.0.1:4318\""),
        Form::Text,
        &mut otlp.endpoint,
        |section, name| section.parsed(name, UpstreamUrl::new).map(|written| written.value),
        |url| YamlValue::quoted(&url.to_string()),
    );
    let about =
        "Headers that the collector asks for, such as {Authorization: \"Bearer ${TOKEN}\"}. Their values are secret.";
    keys.key(key("headers", about), Form::TextMap, &mut otlp.headers, read_headers, |headers| show_headers(headers));
    let about = "How the attempts of a job relate to its submission. `auto`: the first attempt of a job that was not delayed \
                 belongs to the submission's trace; retries and delayed jobs have traces of their own with a link to it. \
                 `link`: all have traces of their own. `parent`: all belong to the submission's trace.";
    keys.choice(key("jobTrace", about), &mut otlp.job_trace, &JOB_TRACES);
    let service = key("serviceName", "The name of this service in the traces.");
    keys.text(service, &mut otlp.service_name, as_written, |name| YamlValue::quoted(name));
    let about =
        "Which part of the traces that begin here is sampled. A client's decision, in its traceparent, is kept.";
    keys.fraction(key("sampleRatio", about), &mut otlp.sample_ratio);
}

fn read_headers(section: &mut Section<'_>, name: &'static str, headers: &mut Vec<CollectorHeader>) {
    for (name, written) in section.text_map(name) {
        match CollectorHeader::new(&name, &written.value) {
            Ok(header) => headers.push(header),
            Err(problem) => section.note(&written.at, problem),
        }
    }
}

/// The names, and masks in place of the values.
fn show_headers(headers: &[CollectorHeader]) -> YamlValue {
    if headers.is_empty() {
        return YamlValue::plain("{}");
    }
    let masked: Vec<_> = headers.iter().map(|header| format!("{}: \"***\"", header.name())).collect();
    let revealed: Vec<_> =
        headers.iter().map(|header| String::from_utf8_lossy(header.value().as_bytes()).into_owned()).collect();
    let secret = Secret::new(revealed.join("\n"));
    YamlValue { secret: Some(secret), ..YamlValue::plain(format!("{{{}}}", masked.join(", "))) }
        .with_remark("not shown")
}

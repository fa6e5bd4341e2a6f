//! The JSON Schema of configuration files, for editors: the keys as they are declared, with their forms and defaults.
//!
//! It accepts every file that [`super::load()`] accepts. It does not know the rules between keys, nor what a text must be
//! like to be an address, a pattern or a path.

use serde_json::{Map, Number, Value, json};

use super::form::Form;
use super::listing::{Content, Entry, defaults};
use super::raw::{self, Kind};
use super::section::EXTENSION;

/// A duration of Go's, as an ECMA regular expression: 0 may be negative, nothing else.
const DURATION: &str =
    r"^([+-]?0|\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+|-((0+\.?0*|\.0+)(ns|us|µs|μs|ms|s|m|h))+)?$";

/// The schema as JSON text (draft 2020-12), sorted by its keys.
#[must_use]
pub fn schema() -> String {
    let mut root = object(&defaults());
    root.insert("patternProperties".to_owned(), json!({ format!("^{EXTENSION}"): true }));
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("Configuration of proxq"));
    root.insert("$defs".to_owned(), definitions());
    format!("{:#}\n", Value::Object(root))
}

/// What single values look like.
fn definitions() -> Value {
    json!({
        // Stands in place of any value: what it will be is not known before the environment is.
        "variable": { "type": "string", "pattern": r"\$\{" },
        "text": { "type": ["string", "number", "boolean", "null"] },
        "boolean": { "anyOf": [{ "type": ["boolean", "null"] }, { "$ref": "#/$defs/variable" }] },
        "fraction": { "anyOf": [
            { "type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1 },
            { "$ref": "#/$defs/variable" },
        ] },
        "duration": { "anyOf": [
            { "type": "string", "pattern": DURATION },
            { "type": "null" },
            { "const": 0 },
            { "$ref": "#/$defs/variable" },
        ] },
        "size": { "anyOf": [
            { "type": "string", "pattern": "^([+]?[0-9]+|-0+)(KiB|MiB|GiB|kB|MB|GB)?$" },
            { "type": ["integer", "null"], "minimum": 0 },
            { "$ref": "#/$defs/variable" },
        ] },
        "signedSize": { "anyOf": [
            { "type": "string", "pattern": "^[+-]?[0-9]+(KiB|MiB|GiB|kB|MB|GB)?$" },
            { "type": ["integer", "null"] },
            { "$ref": "#/$defs/variable" },
        ] },
    })
}

/// The schema of a section.
fn object(entries: &[Entry]) -> Map<String, Value> {
    let required: Vec<_> = entries.iter().filter(|entry| is_required(entry)).map(|entry| entry.key.name).collect();
    let properties: Map<_, _> = entries.iter().map(|entry| (entry.key.name.to_owned(), property(entry))).collect();
    let mut object = Map::new();
    object.insert("additionalProperties".to_owned(), json!(false));
    object.insert("properties".to_owned(), Value::Object(properties));
    if required.is_empty() {
        object.insert("type".to_owned(), json!(["object", "null"]));
    } else {
        object.insert("type".to_owned(), json!("object"));
        object.insert("required".to_owned(), json!(required));
    }
    object
}

fn is_required(entry: &Entry) -> bool {
    match entry.content {
        Content::Value(Form::RequiredText, _) => true,
        // Of a list that need not be written there is nothing by default.
        Content::Sections(_) => entry.applies,
        Content::Value(..) | Content::Section(_) => false,
    }
}

/// The schema of what is under a key.
fn property(entry: &Entry) -> Value {
    let mut schema = match &entry.content {
        Content::Value(form, _) => value_of(form),
        Content::Section(inside) => Value::Object(object(inside)),
        Content::Sections(items) => {
            let item = items.first().map_or(&[][..], |(_, inside)| inside);
            if is_required(entry) {
                json!({ "type": "array", "minItems": 1, "items": object(item) })
            } else {
                json!({ "type": ["array", "null"], "items": object(item) })
            }
        }
    };
    if !entry.key.about.is_empty() {
        schema["description"] = json!(entry.key.about);
    }
    let default = entry.default().filter(|_| !is_required(entry));
    if let Some(default) = default.and_then(|text| raw::parse(&text).ok()) {
        schema["default"] = json_of(&default);
    }
    schema
}

/// What values of a form look like.
fn value_of(form: &Form) -> Value {
    match form {
        Form::Text => json!({ "$ref": "#/$defs/text" }),
        Form::RequiredText => json!({ "type": ["string", "number", "boolean"], "minLength": 1 }),
        Form::Choice(words) => {
            json!({ "anyOf": [{ "enum": words }, { "enum": ["", null] }, { "$ref": "#/$defs/variable" }] })
        }
        Form::BooleanOr(words) => {
            json!({ "anyOf": [{ "enum": words }, { "enum": [true, false, "", null] }, { "$ref": "#/$defs/variable" }] })
        }
        Form::Boolean => json!({ "$ref": "#/$defs/boolean" }),
        Form::Count(least) => {
            let number = json!({ "type": ["integer", "null"], "minimum": least, "maximum": u32::MAX });
            json!({ "anyOf": [number, { "$ref": "#/$defs/variable" }] })
        }
        Form::Fraction => json!({ "$ref": "#/$defs/fraction" }),
        Form::Duration => json!({ "$ref": "#/$defs/duration" }),
        Form::Size => json!({ "$ref": "#/$defs/size" }),
        Form::SignedSize => json!({ "$ref": "#/$defs/signedSize" }),
        Form::Texts => json!({ "type": ["array", "null"], "items": { "type": ["string", "number", "boolean"] } }),
        Form::TextMap => {
            json!({ "type": ["object", "null"], "additionalProperties": { "type": ["string", "number", "boolean"] } })
        }
        Form::Numbers([least, most]) => {
            let number = json!({ "type": "integer", "minimum": least, "maximum": most });
            json!({ "type": ["array", "null"], "items": { "anyOf": [number, { "$ref": "#/$defs/variable" }] } })
        }
    }
}

/// A value of YAML as one of JSON.
fn json_of(node: &raw::Node) -> Value {
    match &node.value {
        raw::Value::Null => Value::Null,
        raw::Value::Scalar(scalar) => match scalar.kind {
            Kind::Bool(value) => json!(value),
            Kind::Integer(value) => json!(value),
            Kind::Fraction => {
                let number = scalar.text.parse().ok().and_then(Number::from_f64);
                number.map_or_else(|| json!(scalar.text), Value::Number)
            }
            Kind::Text => json!(scalar.text),
        },
        raw::Value::List(items) => items.iter().map(json_of).collect(),
        raw::Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.value))).collect(),
    }
}

#[cfg(test)]
mod tests;

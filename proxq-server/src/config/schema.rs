//! The JSON Schema of configuration files, for editors: keys and their forms as the readers ask for them, words and
//! defaults as `config.yaml.example` has them.
//!
//! It accepts every file that [`super::load()`] accepts. It does not know the rules between keys, nor what a text must be
//! like to be an address, a pattern or a path.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::example::{self, Shown};
use super::form::{Form, Key};
use super::load::forms;
use super::raw::{self, Kind};
use super::section::EXTENSION;

/// A duration of Go's, as an ECMA regular expression: 0 may be negative, nothing else.
const DURATION: &str =
    r"^([+-]?0|\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+|-((0+\.?0*|\.0+)(ns|us|µs|μs|ms|s|m|h))+)?$";

/// The schema as JSON text (draft 2020-12), sorted by its keys.
#[must_use]
pub fn schema() -> String {
    let words = Words { forms: forms(), shown: example::shown() };
    let mut root = words.object("");
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

struct Words {
    forms: BTreeMap<String, Vec<Key>>,
    shown: BTreeMap<String, Shown>,
}

impl Words {
    /// The schema of the section at a path.
    fn object(&self, path: &str) -> Map<String, Value> {
        let keys = self.forms.get(path).map(Vec::as_slice).unwrap_or_default();
        let required: Vec<_> = keys
            .iter()
            .filter(|(_, form)| matches!(form, Form::RequiredText | Form::Sections))
            .map(|(key, _)| *key)
            .collect();
        let properties: Map<_, _> = keys
            .iter()
            .map(|(key, form)| {
                let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
                ((*key).to_owned(), self.property(&path, form))
            })
            .collect();
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

    /// The schema of the value of the key at a path.
    fn property(&self, path: &str, form: &Form) -> Value {
        let mut schema = self.of(path, form);
        let Some(shown) = self.shown.get(path) else { return schema };
        if !shown.comment.is_empty() {
            schema["description"] = json!(shown.comment);
        }
        if let Some(value) = shown.value.as_ref().filter(|_| *form != Form::RequiredText) {
            schema["default"] = json_of(value);
        }
        schema
    }

    /// What values of a form look like; of a section, that at the path.
    fn of(&self, path: &str, form: &Form) -> Value {
        match form {
            Form::Text => json!({ "$ref": "#/$defs/text" }),
            Form::RequiredText => json!({ "type": ["string", "number", "boolean"], "minLength": 1 }),
            Form::Choice(words) => {
                json!({ "anyOf": [{ "enum": words }, { "enum": ["", null] }, { "$ref": "#/$defs/variable" }] })
            }
            Form::Boolean => json!({ "$ref": "#/$defs/boolean" }),
            Form::Count(least) => {
                let number = json!({ "type": ["integer", "null"], "minimum": least, "maximum": u32::MAX });
                json!({ "anyOf": [number, { "$ref": "#/$defs/variable" }] })
            }
            Form::Duration => json!({ "$ref": "#/$defs/duration" }),
            Form::Size => json!({ "$ref": "#/$defs/size" }),
            Form::SignedSize => json!({ "$ref": "#/$defs/signedSize" }),
            Form::Texts => json!({ "type": ["array", "null"], "items": { "type": ["string", "number", "boolean"] } }),
            Form::Section => Value::Object(self.object(path)),
            Form::Sections => json!({ "type": "array", "minItems": 1, "items": self.object(&format!("{path}[]")) }),
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
            Kind::Text | Kind::Fraction => json!(scalar.text),
        },
        raw::Value::List(items) => items.iter().map(json_of).collect(),
        raw::Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json_of(&entry.value))).collect(),
    }
}

#[cfg(test)]
mod tests;

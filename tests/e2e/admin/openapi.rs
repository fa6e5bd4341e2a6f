//! The description of the API: each of its examples is tried on the server.

use boon::{Compiler, Schemas};
use harness::{Answer, Client, Proxq, Request, Store, Upstream, get, on_every_store, request};
use serde_json::{Value, json};

use super::{order, plain, read, start};

/// An operation of the description.
struct Operation<'a> {
    method: String,
    path: &'a str,
    description: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, description) in item.as_object().unwrap() {
            operations.push(Operation { method: method.to_ascii_uppercase(), path, description });
        }
    }
    operations
}

impl Operation<'_> {
    /// The request of its examples, for this job and this bulk action.
    fn request(&self, job: &str, bulk: &str) -> Request {
        let (mut path, mut query) = (self.path.to_owned(), Vec::new());
        for parameter in self.description["parameters"].as_array().into_iter().flatten() {
            let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
            if name == "cursor" {
                continue; // what a page gives
            }
            assert!(!example.is_null(), "{} {}: the parameter {name} has no example", self.method, self.path);
            let example = match (name, example) {
                ("id", _) => job.to_owned(),
                ("number", _) => bulk.to_owned(),
                (_, Value::String(text)) => text.clone(),
                (_, other) => other.to_string(),
            };
            match parameter["in"].as_str().unwrap() {
                "path" => path = path.replace(&format!("{{{name}}}"), &example),
                _ => query.push(format!("{name}={example}")),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        match self.method.as_str() {
            "GET" => get(&path),
            "DELETE" => order("DELETE", &path, &json!({})),
            method => {
                let body = &self.description["requestBody"]["content"]["application/json"]["example"];
                assert!(!body.is_null(), "{method} {path} has no example of its body");
                request(method, &path)
                    .header("Content-Type", "application/json")
                    .header("X-Proxq-Admin", "1")
                    .body(body.to_string())
            }
        }
    }
}

/// Says what is wrong with an answer by the schema of its description.
fn check(document: &Value, operation: &Operation<'_>, status: u16, body: &Value) {
    let described = &operation.description["responses"][status.to_string()];
    let what = format!("{} {} → {status}", operation.method, operation.path);
    assert!(!described.is_null(), "{what} is not described: {body}");
    let content = described["content"].as_object().unwrap_or_else(|| panic!("{what} has no content"));
    let schema = &content.values().next().unwrap()["schema"];
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
    compiler.add_resource("file:///api", whole).unwrap();
    let index = compiler.compile("file:///api", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(body, index) {
        panic!("{what}: {error:#}\n{body:#}");
    }
}

/// A server with a completed and a failed job, and the ids of both.
async fn with_jobs(store: Store, upstream: &Upstream) -> (Proxq, Client, [String; 2]) {
    upstream.once(Answer::nothing().close());
    upstream.answers(200, "yes");
    let (proxq, operators) = start(store, upstream).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let job = proxq.submit(plain()).await;
        proxq.settled(&job).await;
        ids.push(job.id.to_string());
    }
    (proxq, operators, ids.try_into().unwrap())
}

on_every_store! {
    async fn every_example_is_answered_as_it_is_described(store: Store) {
        let upstream = Upstream::start().await;
        let (proxq, operators, [failed, completed]) = with_jobs(store, &upstream).await;
        let document = read(&operators, "/openapi.json").await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
        let bulk = json!({"action": "cancel", "filter": {"path": "/none"}});
        let bulk = operators.send(order("POST", "/api/v1/bulk", &bulk)).await.json()["number"].to_string();
        let operations = operations(&document);
        assert!(operations.len() >= 18, "{}", operations.len());
        // What takes a job away comes last.
        let (last, others): (Vec<_>, Vec<_>) = operations.iter().partition(|operation| operation.path.ends_with("/cancel"));
        for operation in others.into_iter().chain(last) {
            let job = if operation.path.ends_with("/retry") { &failed } else { &completed };
            let reply = operators.send(operation.request(job, &bulk)).await;
            assert!(reply.status < 300, "{} {}: {reply}", operation.method, operation.path);
            check(&document, operation, reply.status, &reply.json());
        }
        drop(proxq);
    }

    async fn refusals_are_as_described(store: Store) {
        let upstream = Upstream::start().await;
        let (_proxq, operators, [_, completed]) = with_jobs(store, &upstream).await;
        let document = read(&operators, "/openapi.json").await;
        let gone = "00000000-0000-4000-8000-000000000000";
        for operation in &operations(&document) {
            let reply = operators.send(operation.request(gone, "99")).await;
            if reply.status >= 400 {
                check(&document, operation, reply.status, &reply.json());
            }
        }
        let retry = operations(&document).into_iter().find(|operation| operation.path.ends_with("/retry")).unwrap();
        let reply = operators.send(retry.request(&completed, "1")).await;
        assert_eq!(reply.status, 409, "{reply}");
        check(&document, &retry, 409, &reply.json());
    }
}

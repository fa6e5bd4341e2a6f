//! Answers: each equals a real one, but for ids and times.

use harness::{Answer, Config, Proxq, Route, Upstream, eventually, get, put};
use regex::Regex;
use serde_json::Value;

use super::blocks;

/// The same value with `ID` and `TIME` for those.
fn without_chance(value: &Value) -> Value {
    let id = Regex::new("^[0-9a-f]{8}-[0-9a-f-]{27}$").expect("a valid pattern");
    let time = Regex::new(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$").expect("a valid pattern");
    if let Some(fields) = value.as_object() {
        return fields.iter().map(|(name, value)| (name.clone(), without_chance(value))).collect();
    }
    match value.as_str() {
        Some(text) if id.is_match(text) => "ID".into(),
        Some(text) if time.is_match(text) => "TIME".into(),
        _ => value.clone(),
    }
}

/// A job that rests after its second attempt, and two errors.
async fn real_answers() -> Vec<Value> {
    let upstream = Upstream::start().await;
    upstream.always(Answer::nothing().close());
    let route = Route::new("/broken", &upstream.url()).set("maxRetries", 3).set("maxQueued", 1);
    let proxq = Proxq::start(Config::new().route(route)).await;
    let job = proxq.submit(put("/broken")).await;
    let here = upstream.address().to_string();
    let parsed = async |target: &str| -> Value {
        let text = proxq.send(get(target)).await.text().replace(&here, "127.0.0.1:3000");
        serde_json::from_str(&text).unwrap()
    };
    eventually("the job rests after its second attempt", async || {
        let status = parsed(&job.location).await;
        status["attempts"] == 2 && status["nextAttemptAt"].is_string()
    })
    .await;
    let full = serde_json::from_str(&proxq.send(put("/broken")).await.text()).unwrap();
    vec![parsed(&job.location).await, parsed("/other").await, full]
}

#[test]
fn every_answer_is_a_real_one() {
    harness::run(async {
        let real: Vec<_> = real_answers().await.iter().map(without_chance).collect();
        for block in blocks("json") {
            let shown: Value =
                serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{}: {error}", block.place()));
            let shown = without_chance(&shown);
            assert!(real.contains(&shown), "{}: {shown:#}\nis none of {real:#?}", block.place());
        }
    });
}

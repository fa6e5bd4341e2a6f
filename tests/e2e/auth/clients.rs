//! Clients of a server with access tokens and owners: an unchanged SDK that follows, and proxq's own.

use std::process::Command;

use harness::{Answer, Config, Gate, Proxq, Store, Upstream, checkout, get, on_every_store, within};
use proxq_client::{Error, JobStatus, Proxq as Middleware, ProxqClient};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::{OTHER, OWN, TOKEN, with_owners};
use crate::client::install_provider;

/// An upstream that answers as OpenAI does, when the gate is open.
async fn openai() -> (Upstream, Gate) {
    let (upstream, gate) = (Upstream::start().await, Gate::new());
    let message = json!({ "role": "assistant", "content": "mine" });
    let choices = json!([{ "index": 0, "finish_reason": "stop", "message": message }]);
    let completion = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices });
    let answer = Answer::status(200).header("Content-Type", "application/json").body(completion.to_string());
    upstream.always(answer.wait(&gate));
    (upstream, gate)
}

/// Makes a call with the SDK of OpenAI in Python.
fn call(proxq: &Proxq, key: &str, token: &str) -> impl Future<Output = Value> + use<> {
    let mut command = Command::new(checkout().join("tests/.venv/bin/python"));
    command.arg(checkout().join("tests/clients/owned.py")).args([&format!("{}/v1", proxq.url()), key, token]);
    let running = spawn_blocking(move || command.output());
    async {
        let output = within("the SDK's call ends", running).await.expect("the thread does not panic");
        let output = output.unwrap_or_else(|e| panic!("python does not start ({e}): run `make dep` first"));
        let (given, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(&given).unwrap_or_else(|e| panic!("{e}: {given}\n{complaints}"))
    }
}

/// Has the SDK follow its job over several hops; gives the job's id.
async fn followed(config: Config, upstream: &Upstream, gate: &Gate, token: &str) -> (Proxq, String) {
    let proxq = Proxq::start(config.upstream("mode", "follow").upstream("followWait", "1s")).await;
    let (given, ()) = tokio::join!(call(&proxq, "sk-mine", token), async {
        upstream.arrivals(1).await;
        let is_second_hop =
            |record: &harness::Record| record.field("path").is_some_and(|path| path.ends_with("/content"));
        proxq.log().record("the SDK is sent on", is_second_hop).await;
        gate.open();
    });
    assert_eq!(given["value"], "mine", "{given}");
    let id = given["job"].as_str().unwrap_or_else(|| panic!("{given}")).to_owned();
    (proxq, id)
}

on_every_store! {
    async fn an_sdk_follows_its_own_job_by_its_api_key(store: Store) {
        let (upstream, gate) = openai().await;
        let config = store.config_for(&upstream).set("auth.owner", "credential");
        let (proxq, id) = followed(config, &upstream, &gate, "").await;
        let ask = async |path: &str, key: &str| {
            proxq.send(get(&format!("/__jobs/{id}{path}")).header("Authorization", format!("Bearer {key}"))).await
        };
        assert_eq!(ask("", "sk-mine").await.status, 200);
        ask("", "sk-other").await.refused(404, "NOT_FOUND");
        ask("/content", "sk-other").await.refused(404, "NOT_FOUND");
        ask("/content?hop=2", "sk-other").await.refused(410, "GONE");
    }

    async fn an_sdk_shows_its_token_on_every_hop(store: Store) {
        let (upstream, gate) = openai().await;
        let (proxq, id) = followed(with_owners(store.config_for(&upstream)), &upstream, &gate, OWN).await;
        let ask = async |path: &str, token: &str| {
            proxq.send(get(&format!("/__jobs/{id}{path}")).header(TOKEN, token)).await
        };
        assert_eq!(ask("/content", OWN).await.status, 200);
        ask("/content", OTHER).await.refused(404, "NOT_FOUND");
        ask("/content?hop=2", OTHER).await.refused(410, "GONE");
        let refused = call(&proxq, "sk-mine", "").await;
        assert_eq!(refused["status"], 401, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("needs an access token"), "{refused}");
    }

    async fn the_clients_in_rust_show_their_token(store: Store) {
        install_provider();
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(201).body("made").wait(&gate));
        let proxq = Proxq::start(with_owners(store.config_for(&upstream))).await;
        let url = format!("{}/x", proxq.url());
        let middleware = |token: &str| Middleware::builder().proxq_url(proxq.url()).token(token).build().expect("good settings");
        let client = |token: &str| ProxqClient::new(middleware(token), reqwest::Client::new());
        let own = client(OWN);
        let submit = || reqwest::Client::new().post(&url).body("x").build().unwrap();
        let job = own.submit(submit()).await.unwrap();
        upstream.arrivals(1).await;
        let mut events = job.events().await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap().status, JobStatus::Running);
        gate.open();
        assert_eq!(job.wait().await.unwrap().status, JobStatus::Completed);
        let elsewhere = client(OWN).attach(job.id()).unwrap();
        assert_eq!(elsewhere.content().await.unwrap().text().await.unwrap(), "made");
        let strange = client(OTHER).attach(job.id()).unwrap();
        for refused in [strange.status().await.map(drop), strange.cancel().await, strange.events().await.map(drop)] {
            assert!(matches!(refused, Err(Error::JobLost { id }) if id == job.id()), "{refused:?}");
        }
        let unknown = client("a-token-that-nobody-has");
        let refused = unknown.submit(submit()).await.map(drop);
        assert!(matches!(&refused, Err(Error::Refused { code, .. }) if code == "UNAUTHORIZED"), "{refused:?}");
        let refused = unknown.attach(job.id()).unwrap().status().await.map(drop);
        assert!(matches!(&refused, Err(Error::Refused { code, .. }) if code == "UNAUTHORIZED"), "{refused:?}");
        job.cancel().await.unwrap();

        let through = |token: &str| {
            reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware(token)).build()
        };
        let response = through(OWN).post(&url).body("x").send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (201, "made"));
        let refused = through("a-token-that-nobody-has").post(&url).body("x").send().await;
        match refused {
            Ok(response) => assert_eq!(response.status().as_u16(), 401, "the refusal as it is"),
            Err(error) => {
                let found = Error::find(&error);
                assert!(matches!(found, Some(Error::Refused { code, .. }) if code == "UNAUTHORIZED"), "{error:?}");
            }
        }
    }

    async fn the_sdk_in_rust_shows_its_token(store: Store) {
        install_provider();
        let (upstream, gate) = openai().await;
        gate.open();
        let proxq = Proxq::start(with_owners(store.config_for(&upstream))).await;
        let client = |token: &str| {
            let config = async_openai::config::OpenAIConfig::new().with_api_key("sk-mine");
            let settings = Middleware::builder().token(token);
            proxq_openai::Builder::new(proxq.url()).proxq(settings).build(config).expect("good settings")
        };
        let question = async_openai::types::chat::CreateChatCompletionRequestArgs::default()
            .model("m")
            .messages([async_openai::types::chat::ChatCompletionRequestUserMessage::from("hi").into()])
            .build()
            .unwrap();
        let answer = client(OWN).chat().create(question.clone()).await.unwrap();
        assert_eq!(answer.choices[0].message.content.as_deref(), Some("mine"));
        let refused = client("a-token-that-nobody-has").chat().create(question).await.unwrap_err();
        assert!(format!("{refused:?}").contains("UNAUTHORIZED"), "{refused:?}");
    }
}

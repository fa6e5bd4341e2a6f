//! Tests of the URLs of results.

use harness::{
    Answer, Gate, Job, Proxq, Request, Store, Upstream, delete, eventually, get, head, on_every_store, post, request,
};
use proxq_protocol::JobId;
use serde_json::json;

use super::{is_refused, own, with_owners};

on_every_store! {
    async fn a_url_leads_to_the_result_without_a_credential(store: Store) {
        let (upstream, gate) = (Upstream::start().await, Gate::new());
        upstream.always(Answer::status(201).body("late").wait(&gate));
        let proxq = Proxq::start(with_owners(store.config_for(&upstream)).set("auth.resultUrls", true)).await;
        let signed = |request: Request| own(request.header("X-Proxq-Result-Url", "1h"));
        let accepted = proxq.send(signed(post("/x"))).await;
        let (job, url) = (Job::of(&accepted), accepted.header("X-Proxq-Result-Url").unwrap());
        let (content, parameters) = url.split_once('?').unwrap();
        assert_eq!(content, format!("{}/content", job.location));
        assert_eq!(accepted.json(), json!({ "jobId": job.id.to_string(), "resultUrl": url }));
        proxq.send(get(&url)).await.refused(404, "NOT_READY");
        let mut waiting = proxq.begin(get(&format!("{url}&wait=30s"))).await;
        upstream.arrivals(1).await;
        gate.open();
        let reply = waiting.reply().await;
        assert_eq!((reply.status, reply.text().as_str()), (201, "late"));
        assert_eq!(proxq.send(head(&url)).await.status, 201);
        assert_eq!(proxq.send(get(&format!("{url}&utm_source=mail"))).await.status, 201);
        // For nothing else, and in no other form.
        for path in ["", "/events", "/retry"] {
            is_refused(&proxq.send(get(&format!("{}{path}?{parameters}", job.location))).await);
        }
        for wrong in [post(&url), request("PUT", &url)] {
            proxq.send(wrong).await.refused(405, "METHOD_NOT_ALLOWED");
        }
        let unknown = url.replace(&job.id.to_string(), &JobId::new().to_string());
        let mut refusals = Vec::new();
        for url in [
            url.replace("expires=1", "expires=2"),
            url.replace("expires=", "expires=0"),
            url[..url.len() - 1].to_owned(),
            url.replace("signature=", "signature=x"),
            format!("{content}?signature="),
            format!("{content}?signature"),
            format!("{content}?{}", parameters.split('&').nth(1).unwrap()),
            unknown,
            url.replace(&job.id.to_string(), "nonsense"),
        ] {
            let reply = proxq.send(own(get(&url))).await;
            reply.refused(403, "FORBIDDEN");
            refusals.push(reply.text());
        }
        refusals.dedup();
        assert_eq!(refusals.len(), 1, "whether there is such a job or not: {refusals:?}");
        is_refused(&proxq.send(get(&format!("{content}?{}", parameters.split('&').next().unwrap()))).await);
        for twice in ["&signature=x", "&expires=1", "&hop=1", "&pending=202"] {
            proxq.send(get(&format!("{url}{twice}"))).await.refused(400, "BAD_QUERY");
        }
        let reply = proxq.send(delete(&url)).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"status":"cancelled"}"#));
        proxq.send(get(&url)).await.refused(404, "NOT_FOUND");
        proxq.send(own(get(&job.location))).await.refused(404, "NOT_FOUND");
    }

    async fn a_url_is_over_when_its_time_is(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.resultUrls", true)).await;
        let accepted = proxq.send(post("/x").header("X-Proxq-Result-Url", "1ms")).await;
        let url = accepted.header("X-Proxq-Result-Url").unwrap();
        eventually("its time is over", async || proxq.send(get(&url)).await.status == 403).await;
        let reply = proxq.send(get(&url)).await;
        reply.refused(403, "FORBIDDEN");
        assert!(reply.text().contains("the URL was valid until 20"), "{reply}");
        proxq.send(delete(&url)).await.refused(403, "FORBIDDEN");
        let job = Job::of(&accepted);
        assert_eq!(proxq.send(get(&job.location)).await.status, 200, "the job is there as before");
    }

    async fn every_answer_before_the_end_has_the_url_and_no_final_one(store: Store) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(store.config_for(&upstream).set("auth.resultUrls", true)).await;
        let signed = |name: &str, value: &str| post("/x").header("X-Proxq-Result-Url", "1h").header(name, value);
        for (request, status) in [
            (signed("Prefer", "respond-async"), 202),
            (signed("X-Proxq-Mode", "wait").header("X-Proxq-Wait", "0").header("X-Proxq-Delay", "1h"), 202),
            (signed("X-Proxq-Mode", "follow").header("X-Proxq-Wait", "0").header("X-Proxq-Delay", "1h"), 303),
            (signed("Idempotency-Key", "k"), 202),
            (signed("Idempotency-Key", "k"), 202),
        ] {
            let reply = proxq.send(request).await;
            assert_eq!(reply.status, status, "{reply}");
            let url = reply.header("X-Proxq-Result-Url").unwrap_or_else(|| panic!("{reply}"));
            assert!([200, 404].contains(&proxq.send(get(&url)).await.status), "{url}");
            if status == 202 {
                assert_eq!(reply.json()["resultUrl"], url);
            }
        }
        let reply = proxq.send(signed("X-Proxq-Wait", "30s")).await;
        assert!(reply.status == 200 && !reply.head.has("x-proxq-result-url"), "{reply}");
        for (value, problem) in [
            ("0", "more than zero"),
            ("-1s", "must not be negative"),
            ("3600", "has no unit"),
            ("24h1ns", "24 hours"),
            ("", "duration is missing"),
        ] {
            let reply = proxq.send(post("/x").header("X-Proxq-Result-Url", value)).await;
            reply.refused(400, "BAD_HEADER");
            assert!(reply.text().contains(problem), "{value}: {reply}");
        }
        assert_eq!(proxq.send(post("/x").header("X-Proxq-Result-Url", "24h")).await.status, 202);
    }
}

//! Tests of the embedded store on a full disk.

use std::fs;

use harness::{
    Answer, Config, Gate, Job, Pattern, Proxq, Record, SmallDisk, Store, Upstream, eventually, get, on_the_store, post,
};
use proxq_protocol::JobStatus;

/// What a server on a full disk does, and what it does not.
async fn is_full(proxq: &Proxq) {
    let ready = proxq.send(get("/__jobs/readyz")).await;
    ready.refused(503, "STORE_FULL");
    proxq.assert_healthy().await;
    for body in [vec![1; 10], vec![1; 20_000], vec![1; 1 << 20]] {
        proxq.send(post("/x").body(body)).await.refused(503, "STORE_FULL");
    }
    proxq.send(get("/direct").header("X-Proxq-Mode", "direct")).await.from_upstream(200);
}

fn config(store: Store, upstream: &Upstream) -> Config {
    store.config_for(upstream).upstream("delivery", "at-least-once")
}

/// A job that waits for longer than any test.
async fn delayed(proxq: &Proxq) -> Job {
    proxq.submit(post("/delayed").header("X-Proxq-Delay", "1h").body(vec![3; 10_000])).await
}

on_the_store! {
    Embedded:

    async fn a_full_disk_is_reported_and_recovered_from(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let gate = Gate::new();
        upstream.once(Answer::status(200).pattern(Pattern::new(8, 100_000)).wait(&gate));
        let disk = SmallDisk::of_mib(16);
        let mut proxq = Proxq::builder(store.config_for(&upstream)).on_disk(&disk).start().await;
        proxq.expect_error("full");
        let kept = proxq.submit(post("/kept").body("kept")).await;
        upstream.arrivals(1).await; // its response will find no room
        disk.fill();

        let large = Pattern::new(7, 1 << 20);
        proxq.send(post("/x").pattern(large)).await.refused(503, "STORE_FULL");
        // Small ones may find room for a while.
        let refused = async || proxq.send(post("/x").body(vec![1; 20_000])).await.code() == "STORE_FULL";
        eventually("small submissions are refused as well", refused).await;
        proxq.assert_healthy().await;
        gate.open();
        let tries = |record: &Record| record.message() == "settle an attempt";
        proxq.log().record("the response finds no room", tries).await;
        assert_ne!(proxq.status(&kept).await.status, JobStatus::Failed, "a response that was received is kept");

        disk.make_room();
        assert_eq!(proxq.through_queue(post("/x").pattern(large)).await.digest, large.digest());
        assert_eq!(proxq.response(&kept).await.digest, Pattern::new(8, 100_000).digest());
        assert_eq!(upstream.deliveries(kept.id), 1, "and never fetched again");
    }

    async fn a_store_starts_on_a_full_disk_after_a_crash(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let disk = SmallDisk::of_mib(16);
        let mut proxq = Proxq::builder(config(store, &upstream)).on_disk(&disk).start().await;
        proxq.expect_error("full");
        let large = Pattern::new(7, 1 << 20);
        let ended = [proxq.submit(post("/x").body("small")).await, proxq.submit(post("/x").pattern(large)).await];
        for job in &ended {
            proxq.response(job).await;
        }
        let mut waiting = Vec::new();
        for _ in 0..30 {
            waiting.push(delayed(&proxq).await);
        }
        let kept = waiting.pop().unwrap();
        let gate = Gate::new();
        upstream.once(Answer::status(200).body("running").wait(&gate));
        let running = proxq.submit(post("/x")).await;
        upstream.arrivals(3).await;
        disk.fill();
        proxq.kill();

        for half in [&waiting[..15], &waiting[15..]] {
            proxq.start_again().await;
            disk.fill(); // what the start has freed, somebody else takes
            is_full(&proxq).await;
            assert_eq!(proxq.response(&ended[0]).await.text(), "small");
            assert_eq!(proxq.response(&ended[1]).await.digest, large.digest());
            for job in half {
                assert_eq!(proxq.cancel(job).await.status, 200);
                assert_eq!(proxq.send(get(&job.location)).await.status, 404);
            }
            is_full(&proxq).await;
            proxq.kill();
            disk.fill(); // what was kept back, too
        }

        proxq.start_again().await;
        for job in &waiting {
            assert_eq!(proxq.send(get(&job.location)).await.status, 404, "what was cancelled stays so");
        }
        assert_eq!(proxq.status(&kept).await.status, JobStatus::Queued);
        assert_eq!(proxq.status(&running).await.status, JobStatus::Running, "nobody has taken it over");
        is_full(&proxq).await;
        assert_eq!(upstream.deliveries(running.id), 1);
        gate.open();

        disk.make_room();
        proxq.ready().await;
        assert_eq!(proxq.response(&running).await.status, 200);
        assert_eq!(upstream.deliveries(running.id), 2);
        assert_eq!(proxq.through_queue(post("/x").pattern(large)).await.digest, large.digest());
        assert_eq!(proxq.status(&kept).await.status, JobStatus::Queued);
        assert!(disk.file("data/reserve").exists(), "space is kept back again");
    }

    async fn a_store_without_its_reserve_starts_on_a_full_disk(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let disk = SmallDisk::of_mib(16);
        let mut proxq = Proxq::builder(config(store, &upstream)).on_disk(&disk).start().await;
        proxq.expect_error("full");
        let job = proxq.submit(post("/x").body("small")).await;
        proxq.response(&job).await;
        proxq.stop().await;
        assert!(!disk.file("data/jobs.sqlite3-shm").exists(), "SQLite has to make it anew");
        fs::remove_file(disk.file("data/reserve")).unwrap();
        disk.fill();
        proxq.start_again().await;
        is_full(&proxq).await;
        assert_eq!(proxq.response(&job).await.text(), "small");
        disk.make_room();
        proxq.ready().await;
        assert_eq!(proxq.through_queue(post("/x").body("more")).await.text(), "more");
    }

    async fn jobs_past_their_retention_make_room_on_a_full_disk(store: Store) {
        let upstream = Upstream::start().await;
        upstream.always(Answer::echo());
        let disk = SmallDisk::of_mib(16);
        let config = config(store, &upstream).set("taskRetention", "5s");
        let mut proxq = Proxq::builder(config).on_disk(&disk).start().await;
        proxq.expect_error("full");
        proxq.through_queue(post("/x").pattern(Pattern::new(7, 2 << 20))).await;
        let kept = delayed(&proxq).await;
        disk.fill();
        let refused = async || proxq.send(post("/x").body(vec![1; 20_000])).await.code() == "STORE_FULL";
        eventually("submissions are refused", refused).await;
        proxq.send(get("/__jobs/readyz")).await.refused(503, "STORE_FULL");
        proxq.ready().await;
        assert_eq!(proxq.status(&kept).await.status, JobStatus::Queued);
        assert_eq!(proxq.through_queue(post("/x").body("more")).await.text(), "more");
    }
}

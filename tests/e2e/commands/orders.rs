//! `proxq jobs retry` and `cancel`.

use harness::{Answer, Gate, Store, get, on_every_store, post};
use proxq_protocol::JobStatus;

use super::Bench;

on_every_store! {
    async fn failed_jobs_are_retried_one_by_one(store: Store) {
        let bench = Bench::start(store).await;
        let (first, done) = (bench.failed("/dead/1").await, bench.ended("/done", 200).await);
        let id = first.id.to_string();
        let retried = bench.run(&["jobs", "retry", &id], 0).await;
        assert_eq!(retried.output, format!("{id} queued"));
        assert_eq!(bench.proxq.settled(&first).await.attempts, Some(2));
        let mixed = bench.run(&["jobs", "retry", &done.id.to_string(), &id], 1).await;
        assert!(mixed.output.contains(&id) && mixed.log.contains(&format!("job {}: ", done.id)), "{}", mixed.log);

        bench.upstream.once(Answer::nothing().close());
        let doubtful = bench.proxq.submit(post("/x")).await;
        assert_eq!(bench.proxq.settled(&doubtful).await.status, JobStatus::Failed);
        let id = doubtful.id.to_string();
        let refused = bench.run(&["jobs", "retry", &id], 1).await;
        assert!(refused.log.contains("twice"), "{}", refused.log);
        bench.upstream.answers(200, "");
        bench.run(&["jobs", "retry", "--may-duplicate", &id], 0).await;
        assert_eq!(bench.proxq.settled(&doubtful).await.status, JobStatus::Completed);
    }

    async fn chosen_jobs_are_counted_confirmed_and_retried(store: Store) {
        let bench = Bench::start(store).await;
        let mut jobs = Vec::new();
        for number in 0..3 {
            jobs.push(bench.failed(&format!("/dead/{number}")).await);
        }
        let retry = &["jobs", "retry", "--all", "--upstream", "/dead"][..];
        assert_eq!(bench.run(&[retry, &["--dry-run"]].concat(), 0).await.output, "3 jobs");
        let unconfirmed = bench.run(retry, 2).await;
        assert!(unconfirmed.log.contains("this would retry 3 jobs; confirm it with --yes"), "{}", unconfirmed.log);
        assert_eq!(bench.proxq.status(&jobs[0]).await.attempts, Some(1), "nothing was done");
        let done = bench.run(&[retry, &["--yes", "--path", "/dead/1"]].concat(), 0).await;
        assert_eq!(done.output, "done: 1 done, 0 skipped");
        assert_eq!(bench.proxq.settled(&jobs[1]).await.attempts, Some(2));
        let none = bench.run(&[retry, &["--path", "/nowhere"]].concat(), 0).await;
        assert_eq!(none.output, "0 jobs", "nothing to confirm");
        let ended = bench.run(&["jobs", "retry", "--all", "--state", "completed", "--yes"], 1).await;
        assert!(ended.log.contains("only failed jobs can be retried"), "{}", ended.log);
    }

    async fn jobs_are_cancelled_by_id_and_by_filter(store: Store) {
        let bench = Bench::start(store).await;
        let gate = Gate::new();
        bench.upstream.always(Answer::status(200).wait(&gate));
        let delayed = |path: &str| get(path).header("X-Proxq-Delay", "1h");
        let (one, other) = (bench.proxq.submit(delayed("/1")).await, bench.proxq.submit(delayed("/2")).await);
        let id = one.id.to_string();
        assert_eq!(bench.run(&["jobs", "cancel", &id], 0).await.output, format!("{id} cancelled"));
        let again = bench.run(&["jobs", "cancel", &id], 4).await;
        assert!(again.log.contains("there is no job"), "{}", again.log);
        let all = bench.run(&["jobs", "cancel", "--all", "--state", "scheduled", "--yes"], 0).await;
        assert_eq!(all.output, "done: 1 done, 0 skipped");
        bench.run(&["jobs", "show", &other.id.to_string()], 4).await;
        gate.open();
    }
}

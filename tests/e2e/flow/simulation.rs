//! Simulations of an upstream with limits: every job completes, next to nothing is refused, and next to nothing of the limit
//! stays unused.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use harness::{Config, Hints, Job, Limited, Limits, Proxq, Seen, Store, Tally, get, on_every_store, within};

use super::{config_for_url, job_of};

/// How many requests at once the upstream takes, and proxq makes.
const AT_ONCE: usize = 5;
/// How long the upstream takes for a request.
const TAKES: Duration = Duration::from_millis(5);

/// How many requests of a credential an upstream takes in a window that says when one is used up. When that happens, as many as
/// run at once may be refused: 5 are less than 2 % of 265. An upstream of 600 a minute leaves more room for them.
const IN_WINDOW: usize = 260;
const WINDOW: Duration = Duration::from_secs(8);

/// How many requests an upstream takes that says nothing: 600 a minute, counted in a shorter window.
const IN_SILENT_WINDOW: usize = 60;
const SILENT_WINDOW: Duration = Duration::from_secs(6);
const SILENT_RATE: &str = "600/m";

/// The highest share of requests that may be refused.
const REFUSED_MAX: f64 = 0.02;
/// The lowest share of the limit that is used while there are jobs.
const USED_MIN: f64 = 0.95;

/// How many clients submit jobs and fetch responses at a time.
const CLIENTS: usize = 8;

/// Credentials and how many jobs they have.
type Jobs<'j> = &'j [(&'j str, usize)];

/// Proxq with at most so many attempts at once over all instances.
fn config(store: Store, upstream: &Limited) -> Config {
    let config = config_for_url(store, &upstream.url()).upstream("concurrency", AT_ONCE);
    let scope = if store == Store::Redis { "shared" } else { "instance" };
    config.upstream("concurrencyScope", scope).upstream("retryOn", vec![429, 503])
}

/// Submits jobs to all instances in turn, has them done, and gives what the upstream has counted. There are as many instances
/// as a store allows. They begin when all jobs wait, so that not the clients limit how many are done.
async fn simulate(store: Store, config: Config, upstream: &Limited, jobs: Jobs<'_>) -> Tally {
    let count = if store == Store::Redis { 3 } else { 1 };
    let front = config.clone().set("concurrency", 0);
    let instances: Vec<_> = stream::iter(0..count).then(|_| Proxq::start(front.clone())).collect().await;
    let credentials = jobs.iter().flat_map(|(credential, count)| std::iter::repeat_n(*credential, *count));
    let submitted: Vec<_> = stream::iter(credentials.zip(instances.iter().cycle()))
        .map(async |(credential, proxq)| (proxq, proxq.submit(job_of(credential)).await))
        .buffered(CLIENTS)
        .collect()
        .await;
    for proxq in &instances {
        proxq.reload(config.clone()).await;
    }
    stream::iter(&submitted)
        .for_each_concurrent(CLIENTS, async |(proxq, job)| has_its_response(proxq, job).await)
        .await;
    let tally = upstream.tally();
    assert_eq!(tally.taken(), submitted.len(), "each job is done once");
    tally
}

async fn has_its_response(proxq: &Proxq, job: &Job) {
    within("the job has its response", async {
        let content = format!("{}/content?wait=20s", job.location);
        loop {
            let reply = proxq.send(get(&content)).await;
            if reply.status != 202 {
                reply.from_upstream(200);
                return;
            }
        }
    })
    .await;
}

/// The share of the requests that was refused.
fn share_refused(tally: &Tally) -> f64 {
    ratio(tally.refused(), tally.seen.len())
}

/// The share of its limit that a credential used, in all windows but the last, in which it had no more jobs.
fn share_used(tally: &Tally, credential: &str, in_window: usize) -> f64 {
    let seen = tally.of(credential);
    let last = seen.last().expect("it has jobs").window;
    let taken = seen.iter().filter(|seen| seen.taken && seen.window < last).count();
    ratio(taken, last * in_window)
}

fn ratio(part: usize, whole: usize) -> f64 {
    let float = |count: usize| f64::from(u32::try_from(count).expect("a test is small"));
    float(part) / float(whole)
}

/// Prints the figures of a simulation.
fn report(what: &str, store: Store, tally: &Tally, jobs: Jobs<'_>, in_window: usize) {
    let refused = 100.0 * share_refused(tally);
    eprint!(
        "{what} on {store:?}: {} requests, {refused:.2} % refused, at most {} at once",
        tally.seen.len(),
        tally.most_at_once()
    );
    for (credential, count) in jobs {
        let seen = tally.of(credential);
        let lasted = seen.last().expect("it has jobs").at - seen[0].at;
        eprint!("; {credential}: {count} jobs in {:.2} s", lasted.as_secs_f64());
        if *count > in_window {
            eprint!(", {:.1} % of full windows used", 100.0 * share_used(tally, credential, in_window));
        }
    }
    eprintln!();
}

/// An upstream that gives hints, clients with many jobs, and one with few between them.
async fn hints_are_followed(store: Store, hints: Hints) {
    const JOBS: Jobs<'static> = &[("many", 2 * IN_WINDOW + 20), ("few", 30), ("more", IN_WINDOW + 20)];
    let limits = Limits::none(TAKES).at_once(AT_ONCE).in_window(IN_WINDOW, WINDOW).hints(hints);
    let upstream = Limited::start(limits).await;
    let tally = simulate(store, config(store, &upstream), &upstream, JOBS).await;
    report(&format!("{hints:?}"), store, &tally, JOBS, IN_WINDOW);
    assert!(tally.most_at_once() <= AT_ONCE);
    for credential in ["many", "more"] {
        let used = share_used(&tally, credential, IN_WINDOW);
        assert!(used >= USED_MIN, "{credential} used {used} of its limit");
    }
    let few_ended = tally.of("few").last().expect("it has jobs").at;
    let is_later = |seen: &&&Seen| seen.window > 0;
    let many_went_on = tally.of("many").iter().find(is_later).expect("it has jobs for several windows").at;
    assert!(few_ended < many_went_on, "few waited for many");
    let refused = share_refused(&tally);
    assert!(refused <= REFUSED_MAX, "{refused} of the requests were refused");
}

/// An upstream that gives no hints, with a rate set.
async fn a_rate_is_kept(store: Store, key: &str, jobs: Jobs<'_>) {
    let limits = Limits::none(TAKES).at_once(AT_ONCE).in_window(IN_SILENT_WINDOW, SILENT_WINDOW);
    let upstream = Limited::start(limits).await;
    let config = config(store, &upstream).upstream(key, SILENT_RATE);
    let tally = simulate(store, config, &upstream, jobs).await;
    report(key, store, &tally, jobs, IN_SILENT_WINDOW);
    assert_eq!(tally.refused(), 0);
    for (credential, count) in jobs {
        if *count > IN_SILENT_WINDOW {
            let used = share_used(&tally, credential, IN_SILENT_WINDOW);
            assert!(used >= USED_MIN, "{credential} used {used} of its limit");
        } else {
            let last = tally.of(credential).last().expect("it has jobs").window;
            assert_eq!(last, 0, "{credential} waited for others");
        }
    }
}

on_every_store! {
    async fn an_upstream_that_says_retry_after_is_used_to_its_limit(store: Store) {
        hints_are_followed(store, Hints::RetryAfter).await;
    }

    async fn an_upstream_that_says_retry_after_ms_is_used_to_its_limit(store: Store) {
        hints_are_followed(store, Hints::RetryAfterMs).await;
    }

    async fn an_upstream_that_says_x_ratelimit_is_used_to_its_limit(store: Store) {
        hints_are_followed(store, Hints::XRatelimit).await;
    }

    async fn an_upstream_that_says_anthropic_ratelimit_is_used_to_its_limit(store: Store) {
        hints_are_followed(store, Hints::Anthropic).await;
    }

    async fn a_rate_keeps_to_the_limit_of_an_upstream_that_says_nothing(store: Store) {
        a_rate_is_kept(store, "rateLimit", &[("one", 2 * IN_SILENT_WINDOW + 10)]).await;
    }

    async fn a_rate_of_each_credential_keeps_to_its_limit(store: Store) {
        let jobs = [("many", 2 * IN_SILENT_WINDOW), ("more", IN_SILENT_WINDOW + 20), ("few", 20)];
        a_rate_is_kept(store, "perCredential.rateLimit", &jobs).await;
    }
}

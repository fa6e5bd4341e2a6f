//! Jobs that are sealed before this store has them.

use super::super::key_use::count_keys;
use super::layout::task;
use super::*;
use crate::config::{Config, SecretHeaders, StoreConfig, UpstreamUrl};
use crate::job::{JobId, State};
use crate::store::contract::sealed::{self, Rekeyed, SECRETS, Sealed, jobs_of_all_kinds, own_keys, secret_job};
use crate::store::contract::{found, lease_ids, limited, state_of};
use crate::store::record::{Record, Secrets};
use crate::store::{KeyUse, NewJob, StoreError};

#[async_trait]
impl Rekeyed for InRedis {
    async fn reopen_with(&mut self, keys: &Arc<Keyring>) {
        self.store.close().await;
        self.store = open_sealed(&self.server, self.time, keys).await;
    }
}

async fn sealed_in_redis() -> Sealed<InRedis> {
    Sealed::new(in_redis().await).await
}

mod contract {
    use super::sealed_in_redis;

    super::keeps_the_contract!(sealed_in_redis);
}

#[tokio::test]
async fn jobs_of_a_former_key_are_read_and_done() {
    sealed::jobs_of_a_former_key_are_read_and_done(&mut in_redis().await).await;
}

#[tokio::test]
async fn without_its_key_a_job_waits_and_says_what_is_open() {
    sealed::without_its_key_a_job_waits_and_says_what_is_open(&mut in_redis().await).await;
}

#[tokio::test]
async fn without_its_key_the_deployment_keeps_its_secrets() {
    sealed::without_its_key_the_deployment_keeps_its_secrets(&mut in_redis().await).await;
}

#[tokio::test]
async fn without_its_key_a_job_takes_nothing_of_a_limit() {
    sealed::without_its_key_a_job_takes_nothing_of_a_limit(&mut in_redis().await).await;
}

#[tokio::test]
async fn without_its_key_a_job_can_be_cancelled() {
    sealed::without_its_key_a_job_can_be_cancelled(&mut in_redis().await).await;
}

#[tokio::test]
async fn jobs_of_before_are_read_after_sealing_began_and_ended() {
    sealed::jobs_of_before_are_read_after_sealing_began_and_ended(&mut in_redis().await).await;
}

/// What every key of a Redis shows, in its serialised form.
async fn shown(redis: &InRedis, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let keys: Vec<String> = redis.server.run(&["KEYS", "*"]).await;
    assert!(!keys.is_empty());
    for key in keys {
        let dump: Option<Vec<u8>> = redis.server.run(&["DUMP", &key]).await;
        let bytes = [dump.unwrap_or_default(), key.clone().into_bytes()].concat();
        let shows = |text: &&&str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        found.extend(texts.iter().filter(shows).map(|text| format!("{text} in {key}")));
    }
    found
}

#[tokio::test]
async fn nothing_of_a_job_shows_in_redis() {
    let store = sealed_in_redis().await;
    jobs_of_all_kinds(&store.0.store).await;
    let values = store.0.store.shared_values().unwrap();
    values.put("cache:digest", "hush-cached".into(), Duration::from_mins(1)).await.unwrap();
    assert_eq!(values.get("cache:digest").await.unwrap().unwrap(), "hush-cached");
    assert_eq!(shown(&store.0, &[&SECRETS[..], &["digest"]].concat()).await, [""; 0]);
    // The same search finds what is there when nothing is sealed.
    let plain = in_redis().await;
    jobs_of_all_kinds(&plain.store).await;
    assert!(shown(&plain, &SECRETS).await.len() > 3);
}

#[tokio::test]
async fn a_value_of_another_name_is_not_taken_for_this_one() {
    let store = sealed_in_redis().await;
    let values = store.0.store.shared_values().unwrap();
    values.put("a:one", "of one".into(), Duration::from_mins(1)).await.unwrap();
    let [one, two] = ["one", "two"].map(|name| format!("a:{}", own_keys().hidden_name(name).unwrap()));
    let _moved: String = store.0.server.run(&["RENAME", &one, &two]).await;
    assert_eq!(values.get("a:two").await.unwrap(), None);
}

/// A job whose key the store does not have.
async fn locked_job(redis: &mut InRedis) -> JobId {
    redis.reopen_with(&Arc::new(Keyring::of(&["right"]))).await;
    let job = secret_job();
    let id = job.request.id;
    redis.store.submit(job).await.unwrap();
    redis.reopen_with(&Arc::new(Keyring::of(&["wrong"]))).await;
    id
}

#[tokio::test]
async fn a_job_whose_key_is_missing_never_has_a_lease() {
    let mut redis = in_redis().await;
    let id = locked_job(&mut redis).await;
    assert_eq!(lease_ids(&redis.store, 10).await, []);
    assert_eq!(state_of(&redis.store, id).await, Some(State::Scheduled));
    let order: String =
        redis.server.run(&["GET", &format!("proxq:{{default}}:order:{}", redis.store.shared.instance.id)]).await;
    assert!(!order.contains(&id.to_string()), "a crash of its instance would lose it: {order}");
}

#[tokio::test]
async fn damaged_facts_name_no_missing_key() {
    let mut redis = in_redis().await;
    let id = locked_job(&mut redis).await;
    let mut facts: Vec<u8> = redis.server.run(&["HGET", &task(id), "x_facts"]).await;
    *facts.last_mut().unwrap() ^= 1;
    let mut set = redis::cmd("HSET");
    set.arg(task(id)).arg("x_facts").arg(facts);
    let _added: i64 = set.query_async(&mut redis.server.connection()).await.unwrap();
    assert_eq!(lease_ids(&redis.store, 10).await, []);
    assert_eq!(redis.store.stats(&queue()).await.unwrap().count(State::Scheduled), 1, "it is out of the way");
    redis.store.ready().await.unwrap();
}

#[tokio::test]
async fn a_job_waits_for_the_key_of_each_of_its_parts() {
    let redis = sealed_in_redis().await.0;
    let (mut job, other) = (secret_job(), Keyring::of(&["other"]));
    let id = job.request.id;
    redis.store.submit(job.clone()).await.unwrap();
    let secrets = Secrets::take(&mut job.request, &SecretHeaders::default()).unwrap();
    let mut set = redis::cmd("HSET");
    set.arg(task(id)).arg("x_secrets").arg(secrets.encode(id, &other));
    let _added: i64 = set.query_async(&mut redis.server.connection()).await.unwrap();
    assert_eq!(lease_ids(&redis.store, 10).await, []);
    let job = found(&redis.store, id).await;
    assert_eq!((job.state, job.progress.attempts, job.progress.started_at), (State::Scheduled, 0, None));
    let ready = redis.store.ready().await;
    assert!(matches!(ready, Err(StoreError::KeyMissing { key }) if Some(key) == other.sealing_id()), "{ready:?}");
}

#[tokio::test]
async fn a_check_counts_the_jobs_of_each_key() {
    let mut redis = in_redis().await;
    jobs_of_all_kinds(&redis.store).await;
    let new = Arc::new(Keyring::of(&["new"]));
    redis.reopen_with(&new).await;
    redis.store.submit(secret_job()).await.unwrap();
    // Of a former configuration: no upstream has it now.
    redis.store.submit(NewJob { queue: limited(), ..secret_job() }).await.unwrap();
    let server = redis.server.config();
    let upstream = UpstreamUrl::new("http://api:3000").unwrap();
    let config = Config { queue: queue(), store: StoreConfig::Redis(server.clone()), ..Config::for_upstream(upstream) };
    let expected = KeyUse { jobs: [(None, 8), (new.sealing_id(), 2)].into() };
    assert_eq!(count_keys(&server, &config).await.unwrap(), expected);
}

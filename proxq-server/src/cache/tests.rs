use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::*;
use crate::clock::{ChosenTime, Clock, Timestamp};
use crate::config::{Config, SyncMode, UpstreamUrl};
use crate::metrics::StoreMetrics;
use crate::store::embedded::{EmbeddedOptions, EmbeddedStore};

/// Shared values that fail or stall on demand.
#[derive(Debug, Default)]
struct Values {
    hangs: bool,
    fails: bool,
    kept: std::sync::Mutex<std::collections::HashMap<String, Bytes>>,
    put_for: std::sync::Mutex<Vec<Duration>>,
}

#[async_trait]
impl SharedValues for Values {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.fails { Err(StoreError::Closed) } else { Ok(self.kept.lock().unwrap().get(key).cloned()) }
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if self.fails {
            return Err(StoreError::Closed);
        }
        self.kept.lock().unwrap().insert(key.to_owned(), value);
        self.put_for.lock().unwrap().push(ttl);
        Ok(())
    }
}

fn cache_on(values: &Arc<Values>) -> Arc<ResponseCache> {
    let config = CacheConfig { mode: CacheMode::Redis, ..CacheConfig::default() };
    ResponseCache::open(&config, Some(Arc::<Values>::clone(values)), Clock::new(), Arc::default()).unwrap()
}

async fn find(cache: &ResponseCache) -> Found {
    let body = Body::Inline(Bytes::new());
    match cache.ask(&JobRequest::sample(), &body, &KeyExclusions::default()).await {
        Asked::Found(found) => found,
        Asked::UnderWay(waiting) => cache.landed(waiting).await,
    }
}

/// A response with this body, and the store beside which it lies.
fn response(body: &'static [u8]) -> (StoredResponse, tempfile::TempDir, EmbeddedStore) {
    let head = ResponseHead { status: StatusCode::OK, reason: None, headers: HeaderMap::new() };
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions {
        data_dir: folder.path().to_owned(),
        sync: SyncMode::OperatingSystem,
        settings: (&Config::for_upstream(UpstreamUrl::new("http://upstream").unwrap())).into(),
        instance: "one".to_owned(),
        keys: Arc::default(),
        metrics: StoreMetrics::default(),
    };
    let store = EmbeddedStore::open(options, Clock::new()).unwrap();
    (StoredResponse { head, body: Body::Inline(body.into()) }, folder, store)
}

#[tokio::test]
async fn what_one_instance_kept_is_found_by_another_under_a_key_of_ours() {
    let values = Arc::new(Values::default());
    let (one, other) = (cache_on(&values), cache_on(&values));
    let (response, _folder, store) = response(b"kept");
    let Found::Miss(miss) = find(&one).await else { panic!("there is none yet") };
    assert!(one.keep(miss, &response, &KeyExclusions::default(), &store).await);
    let Found::Hit(cached) = find(&other).await else { panic!("it was kept") };
    assert_eq!((cached.head, cached.body), (response.head, "kept".into()));
    let names: Vec<_> = values.kept.lock().unwrap().keys().cloned().collect();
    assert!(names.len() == 1 && names[0].starts_with("proxq:cache:v2:"), "{names:?}");
}

#[tokio::test]
async fn a_response_ages_and_is_not_given_when_it_is_stale() {
    let time = ChosenTime::at(Timestamp::from_millis(1_767_225_600_000));
    let values: Arc<Values> = Arc::default();
    let config = CacheConfig { mode: CacheMode::Redis, ..CacheConfig::default() };
    let cache =
        ResponseCache::open(&config, Some(Arc::<Values>::clone(&values)), time.clock(), Arc::default()).unwrap();
    let (mut response, _folder, store) = response(b"kept");
    response.head.headers.insert("age", HeaderValue::from_static("20"));
    response.head.headers.insert("cache-control", HeaderValue::from_static("max-age=60"));
    response.head.headers.insert("x-ratelimit-remaining", HeaderValue::from_static("1"));
    let Found::Miss(miss) = find(&cache).await else { panic!("there is none yet") };
    assert!(cache.keep(miss, &response, &KeyExclusions::default(), &store).await);
    assert_eq!(*values.put_for.lock().unwrap(), [Duration::from_secs(40)], "no longer than it stays fresh");
    time.set_wall(Timestamp::from_millis(1_767_225_639_000));
    let Found::Hit(cached) = find(&cache).await else { panic!("it is fresh") };
    assert_eq!((cached.age, cached.left), (Duration::from_secs(59), Duration::from_secs(1)));
    assert!(!cached.head.headers.contains_key("x-ratelimit-remaining"), "it is of no meaning any more");
    time.set_wall(Timestamp::from_millis(1_767_225_640_000));
    assert!(matches!(find(&cache).await, Found::Miss(_)));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_fails_or_hangs_costs_a_bounded_time_and_is_counted() {
    let (response, _folder, store) = response(b"kept");
    for values in [Values { fails: true, ..Values::default() }, Values { hangs: true, ..Values::default() }] {
        let cache = cache_on(&Arc::new(values));
        let began = tokio::time::Instant::now();
        let Found::Miss(miss) = find(&cache).await else { panic!("there is nothing to be found") };
        cache.keep(miss, &response, &KeyExclusions::default(), &store).await;
        assert!(began.elapsed() <= FIND_LIMIT + KEEP_LIMIT);
        assert_eq!(cache.metrics.cache.failures.total(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn of_equal_requests_one_leads_and_the_others_take_what_it_brings() {
    let cache = cache_on(&Arc::new(Values::default()));
    let (response, _folder, store) = response(b"kept");
    let Found::Miss(miss) = find(&cache).await else { panic!("there is none yet") };
    let others = async { tokio::join!(find(&cache), find(&cache)) };
    let lands = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cache.keep(miss, &response, &KeyExclusions::default(), &store).await;
    };
    let ((one, other), ()) = tokio::join!(others, lands);
    assert!(matches!((one, other), (Found::Hit(_), Found::Hit(_))));
    assert!(matches!(find(&cache).await, Found::Hit(_)), "and so do later ones");
}

#[tokio::test(start_paused = true)]
async fn where_the_first_brings_nothing_the_others_go_on_at_once_and_together() {
    let cache = cache_on(&Arc::new(Values::default()));
    let Found::Miss(miss) = find(&cache).await else { panic!("there is none yet") };
    let others = async { tokio::join!(find(&cache), find(&cache)) };
    let ends = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(miss);
    };
    let ((one, other), ()) = tokio::join!(others, ends);
    let alone = |found: &Found| matches!(found, Found::Miss(Miss::Alone(_)));
    assert!(alone(&one) && alone(&other));
    assert!(matches!(find(&cache).await, Found::Miss(Miss::Leads(_))), "the next one is a first again");
}

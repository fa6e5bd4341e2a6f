//! How tests run: one async function becomes one test, or a test on every store.

use std::time::Duration;

use crate::Config;
use crate::proxq::Proxq;
use crate::redis::Redis;
use crate::upstream::Upstream;

/// The longest that a whole test may take.
const TEST_DEADLINE: Duration = Duration::from_mins(5);

/// Where the server under test keeps its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In files of its own.
    Embedded,
    /// In a Redis of the configuration's own.
    Redis,
}

impl Store {
    /// The word for it in configurations and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
        }
    }

    /// Up to how much later than asked for a job may be due.
    pub fn grain(self) -> Duration {
        match self {
            Self::Embedded => Duration::from_millis(1),
            Self::Redis => Duration::from_secs(1),
        }
    }

    /// A configuration on this store, without upstreams.
    pub fn config(self) -> Config {
        match self {
            Self::Embedded => Config::new(),
            Self::Redis => Config::new().in_redis(Redis::start()),
        }
    }

    /// A configuration on this store that forwards everything to one upstream.
    pub fn config_for(self, upstream: &Upstream) -> Config {
        self.config().route(crate::Route::new("/", &upstream.url()))
    }

    /// A server with [`Store::config_for`] an upstream, and that upstream.
    pub async fn pair(self) -> (Proxq, Upstream) {
        let upstream = Upstream::start().await;
        let proxq = Proxq::start(self.config_for(&upstream)).await;
        (proxq, upstream)
    }
}

/// Runs a test to its end, or to the deadline.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads and timers can be had");
    runtime.block_on(async {
        let in_time = tokio::time::timeout(TEST_DEADLINE, test).await;
        assert!(in_time.is_ok(), "the test did not end within {TEST_DEADLINE:?}");
    });
}

/// Makes each function a test on every store: for whatever a job's request, response or state is part of.
///
/// A function takes a server that forwards everything to an upstream, and that upstream; or the store, to start what
/// it needs itself.
#[macro_export]
macro_rules! on_every_store {
    ($($(#[doc = $doc:expr])* async fn $name:ident($($argument:ident: $type:ident),+ $(,)?) $body:block)+) => {
        $(
            $(#[doc = $doc])*
            async fn $name($($argument: $type),+) $body

            mod $name {
                #[test]
                fn embedded() {
                    $crate::on_every_store!(@run $crate::Store::Embedded, super::$name, $($type),+);
                }

                #[test]
                fn redis() {
                    $crate::on_every_store!(@run $crate::Store::Redis, super::$name, $($type),+);
                }
            }
        )+
    };
    // The binary is there before a test's time begins: to build it may take longer than a test may.
    (@run $store:expr, $test:path, Proxq, Upstream) => {
        $crate::binary();
        $crate::run(async {
            let (proxq, upstream) = $store.pair().await;
            $test(proxq, upstream).await;
        });
    };
    (@run $store:expr, $test:path, Store) => {
        $crate::binary();
        $crate::run($test($store));
    };
}

/// The same for what is only one store's: `on_the_store! { Embedded: … }`.
#[macro_export]
macro_rules! on_the_store {
    ($store:ident: $($(#[doc = $doc:expr])* async fn $name:ident($($argument:ident: $type:ident),+ $(,)?) $body:block)+) => {
        $(
            #[test]
            $(#[doc = $doc])*
            fn $name() {
                async fn test($($argument: $type),+) $body
                $crate::on_every_store!(@run $crate::Store::$store, test, $($type),+);
            }
        )+
    };
}

/// The same for what no store takes part in: direct requests, refused heads, the limits of connections, probes, flags.
///
/// A test that looks at a job stays in [`on_every_store!`], and so does one that breaks off, drains or restarts a server
/// that has jobs. Here a `202` may at most show that a request was queued rather than sent on. The server keeps its jobs in
/// the embedded store, which needs no other process.
#[macro_export]
macro_rules! once {
    ($($tests:tt)+) => {
        $crate::on_the_store! { Embedded: $($tests)+ }
    };
}

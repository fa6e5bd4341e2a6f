//! Metrics: what the figures of a table say, and how they are called.

/// What a figure says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Operations per second.
    Rate,
    /// Requests per second of an open loop.
    ArrivalRate,
    /// Jobs completed per second, where submissions are measured as well.
    JobRate,
    /// Contents read per second, where submissions and jobs are measured as well.
    ReadRate,
    MibPerSecond,
    P50Ms,
    P90Ms,
    P99Ms,
    /// CPU time of the server for one operation.
    CpuMicros,
    /// CPU time of Redis for one operation.
    RedisCpuMicros,
    /// Share of one core, in percent.
    CpuPercent,
    /// Memory that the process holds.
    ResidentMib,
    /// Requests that were answered with `503`.
    Refused,
    /// The most memory that it held beyond what it held before.
    PeakMib,
    /// What it still holds beyond that some time afterwards.
    AfterMib,
    /// Memory for one connection.
    KibEach,
    /// Round trips to Redis per second.
    RoundTrips,
    /// Rates, or times, divided by those of the row that is compared with.
    RateRatio,
    JobRateRatio,
    ReadRateRatio,
    CpuRatio,
    P99Ratio,
    /// The rate divided by that of `redis-benchmark`.
    OfRedis,
    /// The rate divided by that of a bare loop on SQLite.
    OfSqlite,
}

impl Metric {
    /// Its title in a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "per second",
            Self::ArrivalRate => "sent/s",
            Self::JobRate => "jobs/s",
            Self::ReadRate => "reads/s",
            Self::MibPerSecond => "MiB/s",
            Self::P50Ms => "p50 ms",
            Self::P90Ms => "p90 ms",
            Self::P99Ms => "p99 ms",
            Self::CpuMicros => "CPU µs",
            Self::RedisCpuMicros => "Redis CPU µs",
            Self::CpuPercent => "CPU %",
            Self::ResidentMib => "memory MiB",
            Self::Refused => "refused",
            Self::PeakMib => "peak +MiB",
            Self::AfterMib => "after +MiB",
            Self::KibEach => "KiB each",
            Self::RoundTrips => "Redis trips/s",
            Self::RateRatio => "rate ×",
            Self::JobRateRatio => "jobs ×",
            Self::ReadRateRatio => "reads ×",
            Self::CpuRatio => "CPU ×",
            Self::P99Ratio => "p99 ×",
            Self::OfRedis => "of Redis",
            Self::OfSqlite => "of SQLite",
        }
    }

    /// Its name in JSON.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rate => "per_second",
            Self::ArrivalRate => "sent_per_second",
            Self::JobRate => "jobs_per_second",
            Self::ReadRate => "reads_per_second",
            Self::MibPerSecond => "mib_per_second",
            Self::P50Ms => "p50_ms",
            Self::P90Ms => "p90_ms",
            Self::P99Ms => "p99_ms",
            Self::CpuMicros => "cpu_us",
            Self::RedisCpuMicros => "redis_cpu_us",
            Self::CpuPercent => "cpu_percent",
            Self::ResidentMib => "resident_mib",
            Self::Refused => "refused",
            Self::PeakMib => "peak_mib",
            Self::AfterMib => "after_mib",
            Self::KibEach => "kib_each",
            Self::RoundTrips => "redis_round_trips_per_second",
            Self::RateRatio => "rate_ratio",
            Self::JobRateRatio => "jobs_ratio",
            Self::ReadRateRatio => "reads_ratio",
            Self::CpuRatio => "cpu_ratio",
            Self::P99Ratio => "p99_ratio",
            Self::OfRedis => "of_redis_benchmark",
            Self::OfSqlite => "of_sqlite_loop",
        }
    }
}

//! What the operating system knows of this process, under the names that all clients of Prometheus use
//! (<https://prometheus.io/docs/instrumenting/writing_clientlibs>).

use std::fs;

use prometheus::{Counter, Gauge, IntGauge};
use rustix::process::{Resource, getrlimit};

use super::register::Register;
use crate::lock::lock;

/// What the operating system knows of this process. Where `/proc` is not there, what it would tell stays 0.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    cpu: std::sync::Mutex<Counter>,
    resident: IntGauge,
    virtual_size: IntGauge,
    open_files: IntGauge,
    threads: IntGauge,
    started: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(register: Register<'_>) -> Self {
        let max_files = register.gauge("process_max_fds", "Maximum number of open file descriptors.");
        max_files.set(getrlimit(Resource::Nofile).current.map_or(i64::MAX, whole));
        let metrics = Self {
            cpu: register
                .seconds_counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.")
                .into(),
            resident: register.gauge("process_resident_memory_bytes", "Resident memory size in bytes."),
            virtual_size: register.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes."),
            open_files: register.gauge("process_open_fds", "Number of open file descriptors."),
            threads: register.gauge("process_threads", "Number of threads of the operating system."),
            started: register.fraction_gauge(
                "process_start_time_seconds",
                "Start time of the process since the Unix epoch in seconds.",
            ),
        };
        metrics.refresh();
        metrics
    }

    /// Asks again.
    pub(super) fn refresh(&self) {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text)) {
            let ticks_per_second = rustix::param::clock_ticks_per_second();
            let seconds = |ticks: u64| as_float(ticks) / as_float(ticks_per_second);
            let cpu = lock(&self.cpu);
            let more = seconds(stat.cpu_ticks) - cpu.get();
            cpu.inc_by(more.max(0.0));
            self.resident.set(whole(stat.resident_pages.saturating_mul(rustix::param::page_size() as u64)));
            self.virtual_size.set(whole(stat.virtual_bytes));
            self.threads.set(whole(stat.threads));
            if let Some(boot) = boot_time() {
                self.started.set(as_float(boot) + seconds(stat.started_ticks));
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder's own.
            self.open_files.set(i64::try_from(files.count().saturating_sub(1)).unwrap_or(i64::MAX));
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "no process lives long enough for more than 52 bits")]
fn as_float(number: u64) -> f64 {
    number as f64
}

/// The second of the Unix epoch in which the system started.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// What is used of `/proc/self/stat` (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may have blanks and brackets. What follows it begins with the third field.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_behind_the_name() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 3 0 12345 1048576 256 18446744073709551615";
        let stat =
            Stat { cpu_ticks: 200, threads: 3, started_ticks: 12345, virtual_bytes: 1_048_576, resident_pages: 256 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_files_and_a_start() {
        let registry = prometheus::Registry::new();
        let metrics = ProcessMetrics::new(Register(&registry));
        assert!(metrics.resident.get() > 1 << 20 && metrics.open_files.get() > 2 && metrics.threads.get() > 0);
        assert!(metrics.started.get() > 1.7e9);
    }
}

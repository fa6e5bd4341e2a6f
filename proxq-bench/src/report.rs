//! What a run leaves behind in `target/bench`: `results.json`, and plots.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Problem;
use crate::bench::Effort;
use crate::plot;
use crate::table::Table;

/// From which load on other processes take a core or more, on average.
const BUSY_LOAD: f64 = 1.0;

/// Where and how was measured.
#[derive(Debug)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    /// Processes that ran or waited for a core in the last minute before the run. On a quiet machine it is below 1.
    load: String,
    programs: Vec<String>,
}

impl Machine {
    /// The machine that this runs on.
    pub(crate) fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let programs = [("nginx", "-v"), ("redis-server", "--version")].into_iter().filter_map(|(program, flag)| {
            let output = Command::new(program).arg(flag).output().ok()?;
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8_lossy(&text).lines().next()?.to_owned())
        });
        Self {
            cpu: read("/proc/cpuinfo")
                .lines()
                .find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()))
                .unwrap_or_else(|| "unknown CPU".to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            programs: programs.collect(),
        }
    }

    /// How it is described below plots.
    fn brief(&self) -> String {
        format!("{} × {}, load {} before the run", self.cores, self.cpu, self.load)
    }

    /// How it is described above the tables.
    pub(crate) fn describe(&self) -> String {
        let Self { cpu, cores, kernel, load, programs } = self;
        let is_busy = load.parse().is_ok_and(|load: f64| load >= BUSY_LOAD);
        let busy = if is_busy { " (the machine is busy: compare nothing but rows of one table)" } else { "" };
        format!("{cores} × {cpu}, Linux {kernel}, load {load} before the run{busy}; {}", programs.join("; "))
    }
}

/// Writes everything that was measured.
pub(crate) fn write(folder: &Path, machine: &Machine, effort: Effort, written: &[Table]) -> Result<(), Problem> {
    let tables: Vec<Value> = written.iter().map(Table::json).collect();
    let Machine { cpu, cores, kernel, load, programs } = machine;
    let results = json!({
        "machine": { "cpu": cpu, "cores": cores, "kernel": kernel, "load_before": load, "programs": programs },
        "rounds": effort.rounds,
        "phase_seconds": effort.phase.as_secs_f64(),
        "measures": tables,
    });
    fs::write(folder.join("results.json"), format!("{results:#}\n"))?;
    plot::draw_all(folder, &machine.brief(), written)
}

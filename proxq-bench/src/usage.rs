//! What processes use, as Linux counts it in `/proc`: CPU time and memory.

use std::fs;
use std::time::Duration;

use crate::Problem;

/// The unit of CPU times in `/proc`: `USER_HZ`, which is 100 on every architecture that proxq is built for.
const TICK: Duration = Duration::from_millis(10);

/// CPU time, user and system, that a process and all its descendants have used.
pub(crate) fn cpu(pid: u32) -> Result<Duration, Problem> {
    let mut used = TICK * ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile; its children then belong to another one.
        let Ok(children) = fs::read_to_string(thread?.path().join("children")) else { continue };
        for child in children.split_whitespace() {
            used += cpu(child.parse()?)?;
        }
    }
    Ok(used)
}

/// The memory that a process holds, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Problem> {
    status_bytes(pid, "VmRSS:")
}

/// The most memory that a process has held since [`reset_peak`], or since it started, in bytes.
pub(crate) fn peak_bytes(pid: u32) -> Result<u64, Problem> {
    status_bytes(pid, "VmHWM:")
}

/// Makes the present memory of a process its peak.
pub(crate) fn reset_peak(pid: u32) -> Result<(), Problem> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

/// Bytes as MiB, to a KiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}

fn status_bytes(pid: u32, name: &str) -> Result<u64, Problem> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status"))?, name).map(|kib| kib << 10)
}

/// `utime` + `stime` of `/proc/PID/stat`. The name before them may contain anything, and ends at the last `)`.
fn ticks(stat: &str) -> Result<u32, Problem> {
    let (_name, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat has a name in parentheses")?;
    // The fields that follow the name are counted from 3; `utime` is 14, `stime` is 15.
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || Ok::<u32, Problem>(times.next().ok_or("/proc/PID/stat has CPU times")?.parse()?);
    Ok(next()? + next()?)
}

/// A size from `/proc/PID/status`.
fn kib(status: &str, name: &str) -> Result<u64, Problem> {
    let size = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    Ok(size.ok_or_else(|| format!("/proc/PID/status has no {name}"))?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_are_found_after_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 200 0 0 250 50 7 8 20 0 1 0 12345 1000 200";
        assert_eq!(ticks(stat).unwrap(), 300);
        assert!(ticks("42 (a) S 1").is_err());
    }

    #[test]
    fn sizes_are_found_by_their_names() {
        let status = "Name:\tproxq\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(kib(status, "VmRSS:").unwrap(), 10_240);
        assert_eq!(kib(status, "VmHWM:").unwrap(), 20_480);
        assert!(kib(status, "VmSwap:").is_err());
    }

    #[test]
    fn a_running_process_has_a_size() {
        let own = std::process::id();
        assert!(resident_bytes(own).unwrap() > 1 << 20);
        assert!(peak_bytes(own).unwrap() >= resident_bytes(own).unwrap() / 2);
        cpu(own).unwrap();
    }
}

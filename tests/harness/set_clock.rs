//! A wall clock that is set while a server runs, and a machine that is started again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::docs::checkout;

/// The wall clock of the servers that are started with it. Their other clocks are the machine's.
///
/// A library that is loaded before the C library shifts it (`set_clock.c`): no machine's clock is touched.
#[derive(Debug)]
pub struct SetClock {
    folder: TempDir,
}

impl SetClock {
    /// A clock that is so many seconds ahead, or behind where it is negative.
    pub fn ahead_by(seconds: i64) -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("a temporary folder can be made") };
        let source = checkout().join("tests/harness/set_clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([clock.library(), source])
            .status();
        assert!(compiled.expect("there is a C compiler").success(), "the library is compiled");
        clock.set_ahead_by(seconds);
        clock.restart_machine();
        clock
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn library(&self) -> PathBuf {
        self.path("set_clock.so")
    }

    /// Sets it, so many seconds ahead of the machine's.
    pub fn set_ahead_by(&self, seconds: i64) {
        let file = File::options().create(true).truncate(false).write(true).open(self.path("shift"));
        let written = file.and_then(|file| file.write_all_at(&seconds.to_ne_bytes(), 0)); // in place: it is mapped
        written.expect("the temporary folder is ours");
    }

    /// Servers that are started from now on find a machine that was started again.
    pub fn restart_machine(&self) {
        let id = fs::read("/proc/sys/kernel/random/uuid").expect("a new id, as the kernel makes them");
        fs::write(self.path("boot_id"), id).expect("the temporary folder is ours");
    }

    /// What a server is started through, and the environment that it is started with.
    pub(crate) fn means(&self) -> (Vec<String>, [(&'static str, String); 2]) {
        let script = r#"mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@""#;
        let words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script];
        let text = |path: &Path| path.display().to_string();
        let starter = words.map(str::to_owned).into_iter().chain([text(&self.path("boot_id"))]).collect();
        let environment = [("LD_PRELOAD", text(&self.library())), ("SET_CLOCK_FILE", text(&self.path("shift")))];
        (starter, environment)
    }
}

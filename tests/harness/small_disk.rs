//! A small file system that outlives the servers on it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::process::Launch;

/// A file system in memory, mounted where only those see it who are started through it.
#[derive(Debug)]
pub struct SmallDisk {
    folder: TempDir,
    /// Keeps the namespace in which it is mounted.
    holder: Child,
}

impl SmallDisk {
    /// Mounts one of this size.
    pub fn of_mib(mib: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let script = format!(r#"mount -t tmpfs -o size={mib}m proxq "$0" && echo mounted && exec sleep infinity"#);
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare can be started");
        let mut said = String::new();
        let output = holder.stdout.take().expect("standard output is a pipe");
        BufReader::new(output).read_line(&mut said).expect("what it says is text");
        assert_eq!(said, "mounted\n", "a file system can be mounted in a namespace of one's own");
        Self { folder, holder }
    }

    /// Where those see it who are started through it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program, and its arguments, through which they are started.
    pub fn starter(&self) -> [String; 5] {
        let target = format!("--target={}", self.holder.id());
        ["nsenter", "--preserve-credentials", "--user", "--mount", &target].map(str::to_owned)
    }

    /// A file on it, as everybody else sees it.
    pub fn file(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path().strip_prefix("/").expect("an absolute path")).join(name)
    }

    /// Takes all the room that is left, until [`SmallDisk::make_room`].
    pub fn fill(&self) {
        let mut ballast = fs::File::options()
            .create(true)
            .append(true)
            .open(self.file("ballast"))
            .expect("there is room for an empty file");
        for size in [1 << 20, 64 << 10, 4096, 1] {
            while std::io::Write::write_all(&mut ballast, &vec![0; size]).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn make_room(&self) {
        fs::remove_file(self.file("ballast")).expect("it was filled before");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Launch::stop(&mut self.holder);
    }
}

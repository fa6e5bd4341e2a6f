//! The proxq that is measured.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::time::Instant;

use crate::{Problem, binary_folder};

/// What it logs, into a file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Logging {
    /// What it logs when nothing is said: a line for every request.
    Default,
    /// Warnings and errors only.
    Warnings,
}

/// A `proxq` process, killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(
        folder: &Path,
        upstream: SocketAddr,
        settings: &str,
        logging: Logging,
    ) -> Result<Self, Problem> {
        fs::create_dir_all(folder)?;
        let config = folder.join("config.yaml");
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let data_dir = folder.join("data");
        fs::write(
            &config,
            format!(
                "listenAddress: \"{address}\"\ndataDir: {:?}\n{settings}\nupstreams:\n  - prefix: /\n    url: http://{upstream}\n",
                data_dir.display().to_string()
            ),
        )?;
        let mut command = Command::new(binary_folder()?.join("proxq"));
        command.arg("--config").arg(&config).stderr(File::create(folder.join("log"))?);
        match logging {
            Logging::Default => command.env_remove("RUST_LOG"),
            Logging::Warnings => command.env("RUST_LOG", "warn"),
        };
        let process = command.spawn()?;
        let server = Self { process, address };
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                return Err("proxq does not listen".into());
            }
            std::thread::yield_now();
        }
        Ok(server)
    }

    /// The memory that it holds, from `/proc`.
    pub(crate) fn resident_kib(&self) -> Result<u64, Problem> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("a process has a size")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

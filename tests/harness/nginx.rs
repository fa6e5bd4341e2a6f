//! nginx as a child process: before proxq as the proxy that people have, or behind it as their web server.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::log::Log;
use crate::process::Launch;

/// Where nginx is, beside the folders of `PATH`: Debian installs it where only root looks.
const MORE_FOLDERS: &str = "/usr/local/sbin:/usr/sbin";

/// An nginx with a folder and a configuration of its own, on a free port. Stopped when dropped.
#[derive(Debug)]
pub struct Nginx {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
    log: Log,
}

/// How nginx is started.
#[derive(Clone, Debug)]
pub struct Builder {
    server: String,
    http: String,
    workers: usize,
}

impl Nginx {
    /// Starts one with a single server. `server` are its directives, except for `listen`.
    pub fn start(server: &str) -> Self {
        Self::builder(server).start()
    }

    /// One that is configured further.
    pub fn builder(server: &str) -> Builder {
        Builder { server: server.to_owned(), http: String::new(), workers: 1 }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The id of its first process, which started the others.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The folder that relative paths of its configuration start from. Files to be served are in `html` there.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file where it is served.
    pub fn serve(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.folder().join("html").join(name), bytes).expect("the temporary folder is ours");
    }
}

impl Builder {
    /// Adds directives beside the server, such as a pool of upstreams.
    #[must_use]
    pub fn http(mut self, directives: &str) -> Self {
        self.http.push_str(directives);
        self
    }

    /// Serves with so many processes, in place of one.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Starts it. Connections are taken from then on, although nginx may not be ready to serve them yet.
    pub fn start(self) -> Nginx {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port of loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        fs::create_dir(folder.path().join("html")).expect("the temporary folder is ours");
        fs::write(folder.path().join("nginx.conf"), self.config(address)).expect("the temporary folder is ours");
        // nginx takes over listening sockets that its predecessor names, so nobody can take the port in between. It
        // leaves their modes as they are.
        listener.set_nonblocking(true).expect("a socket takes options");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf"]);
        command.env("PATH", format!("{path}:{MORE_FOLDERS}")).env("NGINX", "0;");
        command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process =
            command.spawn().unwrap_or_else(|e| panic!("nginx does not start ({e}): run `make dep` first"));
        let log = Log::follow(process.stderr.take().expect("standard error is a pipe"));
        Nginx { process, address, folder, log }
    }

    fn config(&self, address: SocketAddr) -> String {
        // Where it may change its user, it would take one that must not read the temporary folder.
        let user = if geteuid().is_root() { "user root;" } else { "" };
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].iter().fold(String::new(), |mut all, kind| {
                writeln!(all, "{kind}_temp_path temporary_{kind};").expect("a string takes text");
                all
            });
        let Self { server, http, workers } = self;
        format!(
            "daemon off;\n{user}\nworker_processes {workers};\npid nginx.pid;\nerror_log stderr warn;\nevents {{ worker_connections 4096; }}\n\
             http {{\naccess_log off;\n{temporary}{http}\nserver {{\nlisten {address};\n{server}\n}}\n}}\n"
        )
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        Launch::stop(&mut self.process);
        if thread::panicking() {
            eprintln!("--- log of nginx\n{}", self.log.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::request::get;

    #[test]
    fn it_serves_by_its_own_configuration_alone() {
        crate::run(async {
            for workers in [1, 2] {
                let nginx = Nginx::builder("location = /word { return 200 $word; }");
                let nginx = nginx.http("map $uri $word { default hi; }").workers(workers).start();
                assert_eq!(Client::at(nginx.address()).send(get("/word")).await.text(), "hi");
            }
        });
    }
}

//! nginx as the peer of the direct path.

use std::net::SocketAddr;

use harness::Nginx;

use crate::load::CONNECTIONS;
use crate::target::Target;

/// An nginx that does what the direct path does: forwards everything, keeps its connections on both sides, and streams
/// without buffering. It has a worker for each core, as proxq has a thread for each, and writes no log. `more` are further
/// directives.
pub(crate) fn nginx(upstream: SocketAddr, more: &str) -> (Nginx, Target) {
    let pool = format!(
        "upstream measured {{ server {upstream}; keepalive {CONNECTIONS}; keepalive_requests 100000000; }}
         keepalive_requests 100000000;"
    );
    let server = format!(
        "location / {{
            proxy_pass http://measured;
            proxy_http_version 1.1;
            proxy_set_header Connection '';
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_buffering off;
            proxy_request_buffering off;
            {more}
        }}"
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let nginx = Nginx::builder(&server).http(&pool).workers(cores).start();
    let name = "nginx".to_owned();
    let target = Target { name, address: nginx.address(), pid: Some(nginx.pid()), redis_pid: None };
    (nginx, target)
}

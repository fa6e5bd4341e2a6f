//! A listener with a handler that is not proxq's own.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::config::UpstreamUrl;
use crate::metrics::Metrics;
use crate::reply::body;

/// Answers with the request's path, or not at all.
#[derive(Debug)]
struct Echo;

impl Handler for Echo {
    fn handle(&self, arrival: Arrival) -> BoxFuture<'_, Option<Response<Body>>> {
        Box::pin(async move {
            match arrival.head.uri.path() {
                "/panic" => panic!("a handler's mistake"),
                "/nobody" => None,
                path => Some(Response::new(body::full(path.to_owned()))),
            }
        })
    }
}

/// All that comes back to a request for this path.
async fn answer(path: &str) -> String {
    let config = Config::for_upstream(UpstreamUrl::new("http://upstream").unwrap());
    let served = Served { settings: ListenSettings::of(&config), handler: Box::new(Echo) };
    let (tasks, stop) = (Tasks::default(), CancellationToken::new());
    let surface =
        Arc::new(Surface::new(served, None, Metrics::default().clients, tasks.clone(), stop.clone(), stop.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    tasks.spawn(surface.serve(listener, tasks.clone()));
    let request = format!("GET {path} HTTP/1.1\r\nHost: proxq\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    drop(client);
    stop.cancel();
    tasks.all_ended().await;
    answer
}

#[tokio::test]
async fn any_handler_is_served() {
    let answer = answer("/path").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/path"), "{answer}");
}

#[tokio::test]
async fn a_handler_sees_no_path_that_climbs() {
    let answer = answer("/a/../path").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_handler_that_panics_or_has_nobody_to_answer_costs_its_own_request_only() {
    assert!(answer("/panic").await.starts_with("HTTP/1.1 500 "));
    assert_eq!(answer("/nobody").await, "");
}

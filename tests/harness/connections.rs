//! Takes the connections of a listener.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Serves each connection in a task of its own. Dropped, it ends all of them.
pub(crate) async fn serve_each<F>(listener: TcpListener, mut serve: impl FnMut(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            connected = listener.accept() => {
                let Ok((stream, _)) = connected else { continue };
                stream.set_nodelay(true).expect("a fresh socket takes options");
                connections.spawn(serve(stream));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

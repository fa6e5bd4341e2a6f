//! A TCP proxy between proxq and its Redis, which a test can make slow, one-way or dead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::gate::Gate;
use crate::waiting::within;

/// A TCP proxy in front of one address. Ends when dropped, with every connection.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    /// How many connections there have been.
    connections: watch::Receiver<usize>,
    meter: Arc<Meter>,
    /// The accept loop, which owns the connections.
    _serving: JoinSet<()>,
}

/// What is to be done to what is carried.
#[derive(Clone, Debug, Default)]
struct Orders {
    cuts: usize,
    half_closes: usize,
    delay: Duration,
    answers: Answers,
    unanswered: Option<Arc<Unanswered>>,
    /// Whether connections end as soon as they are made.
    unplugged: bool,
    /// Of connections that begin: what keeps back what is sent there.
    kept_back: Option<Gate>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Answers {
    #[default]
    Carried,
    Lost,
}

/// What is asked without an answer, once.
#[derive(Debug)]
struct Unanswered {
    text: String,
    met: AtomicBool,
}

impl Unanswered {
    /// Whether these bytes are the first that ask it.
    fn is_asked_by(&self, bytes: &[u8]) -> bool {
        let asked = bytes.windows(self.text.len()).any(|part| part == self.text.as_bytes());
        asked && !self.met.swap(true, Ordering::AcqRel)
    }
}

/// What is counted of what is carried.
#[derive(Debug, Default)]
struct Meter {
    /// Bytes of answers that were lost.
    lost: AtomicUsize,
    /// How often something was sent there for the first time, or after something had come back.
    round_trips: AtomicUsize,
}

/// One connection, as it is counted.
#[derive(Debug)]
struct Line {
    meter: Arc<Meter>,
    /// Whether the last that was carried went there.
    asked: AtomicBool,
    /// Whether it ends with the next answer.
    unanswered: AtomicBool,
}

impl Line {
    fn carries(&self, way: Way) {
        let asks = way == Way::There;
        if self.asked.swap(asks, Ordering::AcqRel) != asks && asks {
            self.meter.round_trips.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Cable {
    /// Leads from a free port of loopback to this address.
    pub async fn to(far: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (orders, follow) = watch::channel(Orders::default());
        let (count, connections) = watch::channel(0);
        let meter = Arc::new(Meter::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, far.to_owned(), follow, count, Arc::clone(&meter)));
        Self { address, orders, connections, meter, _serving: serving }
    }

    /// The `host:port` of its near end.
    pub fn host_and_port(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection, both ways, with whatever is on its way. New ones can be made.
    pub fn cut(&self) {
        self.orders.send_modify(|orders| orders.cuts += 1);
    }

    /// Ends every connection, and every new one as soon as it is made, until [`Cable::plug_in`].
    pub fn unplug(&self) {
        self.orders.send_modify(|orders| {
            orders.cuts += 1;
            orders.unplugged = true;
        });
    }

    /// Carries new connections again.
    pub fn plug_in(&self) {
        self.orders.send_modify(|orders| orders.unplugged = false);
    }

    /// Ends every connection on the way back only: what is sent there arrives, and nothing more is answered.
    pub fn half_close(&self) {
        self.orders.send_modify(|orders| orders.half_closes += 1);
    }

    /// Carries everything so much later, from now on.
    pub fn delay(&self, delay: Duration) {
        self.orders.send_modify(|orders| orders.delay = delay);
    }

    /// Keeps back what is sent there on connections that begin from now on: each piece goes through the gate, and so does the
    /// end of what is sent.
    pub fn keep_back(&self, gate: &Gate) {
        self.orders.send_modify(|orders| orders.kept_back = Some(gate.clone()));
    }

    /// Carries what is sent there, and loses what comes back, until [`Cable::carry_answers`].
    pub fn lose_answers(&self) {
        self.orders.send_modify(|orders| orders.answers = Answers::Lost);
    }

    /// Carries the next bytes with this text there, and ends their connection instead of bringing the answer back. Once.
    pub fn lose_the_answer_to(&self, text: impl Into<String>) {
        let unanswered = Unanswered { text: text.into(), met: AtomicBool::new(false) };
        self.orders.send_modify(|orders| orders.unanswered = Some(Arc::new(unanswered)));
    }

    /// Carries what comes back again.
    pub fn carry_answers(&self) {
        self.orders.send_modify(|orders| orders.answers = Answers::Carried);
    }

    /// How many bytes of answers were lost.
    pub fn lost(&self) -> usize {
        self.meter.lost.load(Ordering::Acquire)
    }

    /// How often somebody had to wait for the far end: what is sent on one connection before anything comes back counts
    /// once.
    pub fn round_trips(&self) -> usize {
        self.meter.round_trips.load(Ordering::Acquire)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Waits for more connections than there had been.
    pub async fn reconnected(&self, before: usize) {
        let mut connections = self.connections.clone();
        let more = within("a new connection", connections.wait_for(|count| *count > before)).await;
        drop(more.expect("the cable lies"));
    }
}

async fn accept(
    listener: TcpListener,
    far: String,
    orders: watch::Receiver<Orders>,
    count: watch::Sender<usize>,
    meter: Arc<Meter>,
) {
    let mut carrying = JoinSet::new();
    // What fails here fails for the client, too, which is what the test looks at.
    while let Ok((near, _)) = listener.accept().await {
        count.send_modify(|count| *count += 1);
        if orders.borrow().unplugged {
            continue;
        }
        let Ok(far) = TcpStream::connect(&far).await else { continue };
        let _both = [near.set_nodelay(true), far.set_nodelay(true)];
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        let line = Arc::new(Line {
            meter: Arc::clone(&meter),
            asked: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
        });
        carrying.spawn(carry(Way::There, from_near, to_far, orders.clone(), Arc::clone(&line)));
        carrying.spawn(carry(Way::Back, from_far, to_near, orders.clone(), line));
    }
}

/// Carries one way of one connection to its end. What it drops is closed.
async fn carry(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut orders: watch::Receiver<Orders>,
    line: Arc<Line>,
) {
    let begun = orders.borrow_and_update().clone();
    let mut ended = orders.clone();
    let is_end = |now: &Orders| now.cuts != begun.cuts || (way == Way::Back && now.half_closes != begun.half_closes);
    let carried = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut bytes).await.unwrap_or_default();
            if read > 0 {
                line.carries(way);
            }
            if let (Way::There, Some(gate)) = (way, &begun.kept_back) {
                gate.pass().await;
            }
            if read == 0 {
                return;
            }
            let now = orders.borrow_and_update().clone();
            tokio::time::sleep(now.delay).await;
            if way == Way::There && now.unanswered.is_some_and(|text| text.is_asked_by(&bytes[..read])) {
                line.unanswered.store(true, Ordering::Release);
            }
            let unanswered = line.unanswered.load(Ordering::Acquire);
            if way == Way::Back && (unanswered || now.answers == Answers::Lost) {
                line.meter.lost.fetch_add(read, Ordering::AcqRel);
                if unanswered {
                    return;
                }
            } else if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = carried => {}
        // An error means that the cable is gone.
        _end = ended.wait_for(is_end) => {}
    }
    drop(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wire;

    #[test]
    fn it_carries_and_cuts_one_way_and_both() {
        crate::run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let cable = Cable::to(&listener.local_addr().unwrap().to_string()).await;
            let mut near = TcpStream::connect(cable.host_and_port()).await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 2];
            near.write_all(b"ab").await.unwrap();
            far.read_exact(&mut bytes).await.unwrap();
            far.write_all(b"cd").await.unwrap();
            near.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"cd");
            assert_eq!(cable.round_trips(), 1);
            cable.half_close();
            assert_eq!(near.read(&mut bytes).await.unwrap(), 0);
            near.write_all(b"ef").await.unwrap();
            far.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"ef", "it still goes there");
            assert_eq!(cable.round_trips(), 2);
            cable.cut();
            assert_eq!(far.read(&mut bytes).await.unwrap_or(0), 0);
            assert_eq!(cable.connections(), 1);
            let _another: Wire = Wire::connect(cable.host_and_port().parse().unwrap()).await;
            cable.reconnected(1).await;
            let (_another_far, _) = listener.accept().await.unwrap(); // carried before new ones are refused
            cable.unplug();
            let mut ended = TcpStream::connect(cable.host_and_port()).await.unwrap();
            assert_eq!(ended.read(&mut bytes).await.unwrap_or(0), 0);
            cable.plug_in();
            let mut near = TcpStream::connect(cable.host_and_port()).await.unwrap();
            near.write_all(b"gh").await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            far.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"gh");
            cable.lose_the_answer_to("ij");
            near.write_all(b"ij").await.unwrap();
            far.read_exact(&mut bytes).await.unwrap();
            far.write_all(b"kl").await.unwrap();
            assert_eq!(near.read(&mut bytes).await.unwrap(), 0, "it ends without an answer");
            assert_eq!(cable.lost(), 2);
        });
    }
}

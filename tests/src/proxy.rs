//! A network that can be spoiled: a TCP proxy that cuts, black-holes, delays, and mends.

use crate::ports;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Pieces that may be under way in one direction of one connection.
const PIECES_MAX: usize = 1_024;

/// What the network does. Each change concerns connections that exist and those to come, except where said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weather {
    /// Every byte is dropped, and no connection ends.
    black_hole: bool,
    /// New connections are closed at once.
    refusing: bool,
    /// Added each way.
    delay: Duration,
    /// Rises to close every connection that exists.
    cuts: u64,
    /// Connections with a smaller number stay in their black hole for ever.
    dead_before: u64,
}

/// The proxy. Dropping it closes all it holds.
pub struct Proxy {
    address: String,
    weather: watch::Sender<Weather>,
    opened: Arc<std::sync::atomic::AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `upstream` (`host:port`).
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn to(upstream: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", ports::free())).await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address").to_string();
        let fair =
            Weather { black_hole: false, refusing: false, delay: Duration::ZERO, cuts: 0, dead_before: 0 };
        let (weather, forecast) = watch::channel(fair);
        let opened = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let accepting = tokio::spawn(accept(listener, upstream.to_owned(), forecast, Arc::clone(&opened)));
        Self { address, weather, opened, accepting }
    }

    /// Where clients connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Closes every connection; new ones go through.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    /// Closes every connection and every new one until [`Proxy::mend`].
    pub fn cut_off(&self) {
        self.weather.send_modify(|weather| {
            weather.cuts += 1;
            weather.refusing = true;
        });
    }

    /// Holds every connection and drops every byte, both ways, until [`Proxy::mend`]. What was sent meanwhile is lost, so
    /// the connections of that time are of no more use and stay silent for ever.
    pub fn black_hole(&self) {
        self.weather.send_modify(|weather| weather.black_hole = true);
    }

    /// Adds `delay` each way.
    pub fn slow(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// New connections go through again, at full speed. Those that lived through a black hole stay dead.
    pub fn mend(&self) {
        let opened = self.opened.load(std::sync::atomic::Ordering::SeqCst);
        self.weather.send_modify(|weather| {
            if weather.black_hole {
                weather.dead_before = opened;
            }
            weather.black_hole = false;
            weather.refusing = false;
            weather.delay = Duration::ZERO;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: String,
    weather: watch::Receiver<Weather>,
    opened: Arc<std::sync::atomic::AtomicU64>,
) {
    while let Ok((near, _)) = listener.accept().await {
        let number = opened.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if weather.borrow().refusing {
            continue;
        }
        let (upstream, weather) = (upstream.clone(), weather.clone());
        tokio::spawn(async move {
            let _ = carry(near, &upstream, Gauge { weather, number }).await;
        });
    }
}

/// The weather, as one connection sees it.
#[derive(Clone)]
struct Gauge {
    weather: watch::Receiver<Weather>,
    number: u64,
}

impl Gauge {
    fn is_lost(&self) -> bool {
        let weather = self.weather.borrow();
        weather.black_hole || self.number < weather.dead_before
    }

    async fn cut(mut self) {
        let cuts = self.weather.borrow().cuts;
        let _ = self.weather.wait_for(|weather| weather.cuts != cuts).await;
    }
}

async fn carry(near: TcpStream, upstream: &str, gauge: Gauge) -> std::io::Result<()> {
    let cut = gauge.clone().cut();
    if gauge.is_lost() {
        // Its greeting is lost: it is held open and says nothing.
        cut.await;
        return Ok(());
    }
    let far = TcpStream::connect(upstream).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let both = async {
        tokio::join!(
            one_way(near_read, far_write, gauge.clone()),
            one_way(far_read, near_write, gauge.clone())
        );
    };
    tokio::select! {
        () = cut => {}
        () = both => {}
    }
    Ok(())
}

/// Carries bytes one way until either end closes. A lost connection hides its ends' closing too.
async fn one_way(read: OwnedReadHalf, mut write: OwnedWriteHalf, gauge: Gauge) {
    let (sender, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let reading = read_pieces(read, sender, gauge.clone());
    let writing = async move {
        while let Some((due, piece)) = pieces.recv().await {
            sleep_until(due).await;
            if !gauge.is_lost() && write.write_all(&piece).await.is_err() {
                break;
            }
        }
        if gauge.is_lost() {
            std::future::pending::<()>().await;
        }
        let _ = write.shutdown().await;
    };
    tokio::join!(reading, writing);
}

async fn read_pieces(mut read: OwnedReadHalf, sender: mpsc::Sender<(Instant, Vec<u8>)>, gauge: Gauge) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = read.read(&mut buffer).await {
        let delay = gauge.weather.borrow().delay;
        if !gauge.is_lost() && sender.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err()
        {
            return;
        }
    }
}

//! One accepted connection: its place in the counts, how fast it is read, and how long a write may wait for the peer.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::bucket::{Bucket, Rate};
use crate::counts::{Counts, Held};
use crate::metrics::Counter;
use crate::proxies::network_of;

/// How many connections are open, in all and from each address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    all: Counts<()>,
    by_address: Counts<IpAddr>,
}

/// Why a connection gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Total,
    Address,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: Held<()>,
    _of_address: Held<IpAddr>,
}

impl Places {
    pub fn take(&self, address: IpAddr, total_max: usize, per_address_max: usize) -> Result<Place, Full> {
        let of_all = self.all.enter(());
        if of_all.place() > total_max {
            return Err(Full::Total);
        }
        let of_address = self.by_address.enter(network_of(address));
        if of_address.place() > per_address_max {
            return Err(Full::Address);
        }
        Ok(Place { _of_all: of_all, _of_address: of_address })
    }
}

/// Bytes that each read counts beside those it brought: a peer that sends them one by one has the same work done for it as
/// one that sends hundreds.
const READ_COST_BYTES: u32 = 256;

/// A TCP stream that holds its place until it is closed, whoever has it by then (an upgraded connection outlives HTTP). It is
/// read at a bounded rate, so that whatever a peer sends (endless fragments of a message, control frames, bodies nobody asked
/// for) costs only so much time to look at; what comes faster waits in the network. It fails when the peer takes nothing for
/// `write_stall_max`.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    read_rate: Rate,
    read: Bucket,
    /// Reading goes on when this is over.
    pause: Option<Pin<Box<Sleep>>>,
    write_stall_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    /// Bytes that peers were sent.
    sent: Counter,
    _place: Place,
}

impl Connection {
    pub fn new(
        stream: TcpStream,
        place: Place,
        read_rate: Rate,
        write_stall_max: Duration,
        sent: Counter,
    ) -> Self {
        let read = Bucket::full(read_rate, Instant::now());
        Self { stream, read_rate, read, pause: None, write_stall_max, stalled: None, sent, _place: place }
    }

    /// Counts what a read brought, and begins a pause when it was more than the peer may send.
    fn brought(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(READ_COST_BYTES);
        let wait = self.read.owe(bytes, self.read_rate, Instant::now());
        if wait > Duration::ZERO {
            self.pause = Some(Box::pin(sleep(wait)));
        }
    }

    /// Lets a write that made progress pass, and bounds how long one may make none.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        write: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write {
            self.stalled = None;
            return Poll::Ready(counted(written, &self.sent));
        }
        let limit = self.write_stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        let brought = buffer.filled().len() - before;
        self.brought(brought);
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Counts what a write has written.
fn counted(written: io::Result<usize>, sent: &Counter) -> io::Result<usize> {
    if let Ok(bytes) = written {
        sent.inc_by(bytes as u64);
    }
    written
}

/// What is left of a connection when its protocol was upgraded: anybody who holds the way out may write, one may read.
#[derive(Debug)]
pub struct Duplex {
    pub out: Arc<WayOut>,
    pub ear: Ear,
    /// What the peer sent behind its request.
    pub heard: Vec<u8>,
}

impl Duplex {
    /// Takes over a connection of [`crate::http::serve`].
    ///
    /// # Errors
    /// The connection, when it is not one of those.
    pub fn take_over(upgraded: Upgraded) -> Result<Self, Upgraded> {
        let parts = upgraded.downcast::<TokioIo<Connection>>()?;
        let Connection { stream, read_rate, read, sent, _place, .. } = parts.io.into_inner();
        let out = Arc::new(WayOut { stream, sent, _place });
        let ear = Ear { out: Arc::clone(&out), rate: read_rate, read, pause: None };
        // A copy: the buffer is one of HTTP's, of 8 KiB, for nothing or a frame.
        Ok(Self { out, ear, heard: parts.read_buf.to_vec() })
    }
}

/// The writing half of an upgraded connection. It has no queue: what the kernel does not take now is the caller's to keep.
#[derive(Debug)]
pub struct WayOut {
    stream: TcpStream,
    sent: Counter,
    _place: Place,
}

impl WayOut {
    /// Writes what the kernel takes now, past the runtime's own account of what is writable: cheaper for one call to each of many
    /// connections. Whoever then waits for [`WayOut::poll_writable`] must have tried [`WayOut::try_write`]. It counts nothing: whoever
    /// writes to many adds it up, and counts once ([`crate::http::HttpSignals::sent`]).
    ///
    /// # Errors
    /// As [`WayOut::try_write`].
    pub fn send_at_once(&self, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(&self.stream).send(bytes)
    }

    /// Writes what the kernel takes now.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it takes nothing; others when the connection is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        counted(self.stream.try_write(bytes), &self.sent)
    }

    /// The same for several pieces with one call.
    ///
    /// # Errors
    /// As [`WayOut::try_write`].
    pub fn try_write_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        counted(self.stream.try_write_vectored(pieces), &self.sent)
    }

    /// Whether a write may be taken; whoever asked last is woken when it may.
    ///
    /// # Errors
    /// When the runtime ends.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_write_ready(context)
    }
}

/// The reading half of an upgraded connection, at the bounded rate of its listener.
#[derive(Debug)]
pub struct Ear {
    out: Arc<WayOut>,
    rate: Rate,
    read: Bucket,
    /// Reading goes on when this is over. Boxed: it is rare, and an idle connection takes no memory for it.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Ear {
    /// Whether there may be something to read; whoever asked last is woken when there may.
    ///
    /// # Errors
    /// When the runtime ends.
    pub fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        // This takes the stream's one place for a reader, which otherwise keeps the task that spoke HTTP in memory.
        self.out.stream.poll_read_ready(context)
    }

    /// Tells the peer that nothing more will be written, and takes what it still sends, without a look, until it closes too:
    /// what it has not read yet would be lost if the connection was dropped with something unheard.
    pub async fn hear_out(&mut self) {
        // Where it fails, the peer is gone.
        let _ = SockRef::from(&self.out.stream).shutdown(std::net::Shutdown::Write);
        let mut unheard = vec![0; 4 * 1024];
        loop {
            match io::Read::read(self, &mut unheard) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if poll_fn(|context| self.poll_readable(context)).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

impl io::Read for Ear {
    /// Reads what is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there, or the peer has sent more than it may: ask [`Ear::poll_readable`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pause.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = self.out.stream.try_read(buffer)?;
        let cost = u32::try_from(bytes).unwrap_or(u32::MAX).saturating_add(READ_COST_BYTES);
        let wait = self.read.owe(cost, self.rate, Instant::now());
        self.pause = (wait > Duration::ZERO).then(|| Box::pin(sleep(wait)));
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_it_is_dropped() {
        let places = Places::default();
        let home: IpAddr = "192.0.2.1".parse().unwrap();
        let first = places.take(home, 2, 1).unwrap();
        assert_eq!(places.take(home, 2, 1).unwrap_err(), Full::Address);
        drop(first);
        assert!(places.take(home, 2, 1).is_ok());
    }

    #[test]
    fn the_total_is_limited_over_all_addresses() {
        let places = Places::default();
        let _first = places.take("192.0.2.1".parse().unwrap(), 1, 1).unwrap();
        assert_eq!(places.take("192.0.2.2".parse().unwrap(), 1, 1).unwrap_err(), Full::Total);
    }

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address() {
        let places = Places::default();
        let _first = places.take("2001:db8::1".parse().unwrap(), 9, 1).unwrap();
        assert_eq!(places.take("2001:db8::2".parse().unwrap(), 9, 1).unwrap_err(), Full::Address);
        assert!(places.take("2001:db8:0:1::1".parse().unwrap(), 9, 1).is_ok());
    }
}
